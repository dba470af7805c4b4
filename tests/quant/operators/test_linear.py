"""Linear layers on flat and on longer tensors, and products with stored matrices."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case, On

CASES: dict[str, Case] = {
    "flat": On(nn.Sequential(nn.Flatten(), nn.Linear(512, 6))),
    "of each pixel": On(nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 5)), unsigned=True),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_linear(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("linear")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_linear_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("linear")
