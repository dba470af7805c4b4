"""Nearest neighbours: values are repeated."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch.nn.functional as F

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case

CASES: dict[str, Case] = {
    "twice": lambda s, u: F.interpolate(s, scale_factor=2),
    "three times": lambda s, u: F.interpolate(u, size=(24, 12)),
    "exact": lambda s, u: F.interpolate(s, scale_factor=2, mode="nearest-exact"),
    "half": lambda s, u: F.interpolate(s, scale_factor=0.5),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_resize_nearest(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("resize_nearest")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_resize_nearest_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("resize_nearest")
