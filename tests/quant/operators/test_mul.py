"""Products of two tensors and with numbers that are no powers of two."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case

CASES: dict[str, Case] = {
    "two tensors": lambda s, u: s * u,
    "square": lambda s, u: s.square(),
    "a third": lambda s, u: s / 3,
    "a power of two": lambda s, u: u * 0.25,
    "broadcast": lambda s, u: s * u.mean((2, 3), keepdim=True),
    "stored": lambda s, u: u * torch.linspace(0.1, 2, 8),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_mul(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("mul")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_mul_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("mul")
