"""Zeros and other numbers around a map, and its own border."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch.nn.functional as F

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case

CASES: dict[str, Case] = {
    "zeros": lambda s, u: F.pad(s, (1, 2, 0, 1)),
    "a number": lambda s, u: F.pad(u, (1, 1, 1, 1), value=0.5),
    "reflected": lambda s, u: F.pad(s, (1, 1, 1, 1), mode="reflect"),
    "repeated": lambda s, u: F.pad(u, (1, 1, 1, 1), mode="replicate"),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_pad(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("pad")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_pad_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("pad")
