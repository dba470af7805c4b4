"""Sums over axes and of stacked tensors."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case

CASES: dict[str, Case] = {
    "pixels": lambda s, u: s.sum((2, 3)),
    "channels": lambda s, u: u.sum(1, keepdim=True),
    "stacked": lambda s, u: torch.stack([s, 3 * u, u]).sum(0),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_sum(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("sum")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_sum_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("sum")
