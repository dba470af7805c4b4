"""Bilinear by powers of two: weights are whole numbers, ties occur."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch.nn.functional as F

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case

CASES: dict[str, Case] = {
    "twice": lambda s, u: F.interpolate(s, scale_factor=2, mode="bilinear"),
    "four times": lambda s, u: F.interpolate(u, scale_factor=4, mode="bilinear"),
    "eight times one side": lambda s, u: F.interpolate(s, size=(64, 8), mode="bilinear"),
    "half": lambda s, u: F.interpolate(s, scale_factor=0.5, mode="bilinear"),
    "added": lambda s, u: s + F.interpolate(F.max_pool2d(u, 2), scale_factor=2, mode="bilinear"),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_resize_bilinear(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("resize_bilinear")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_resize_bilinear_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("resize_bilinear")
