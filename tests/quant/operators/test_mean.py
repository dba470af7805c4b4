"""Means: the sum is exact; 64 is a power of two, 8 times 5 is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch.nn.functional as F

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case

CASES: dict[str, Case] = {
    "all pixels": lambda s, u: s.mean((2, 3)),
    "unsigned": lambda s, u: u.mean((2, 3), keepdim=True),
    "40 pixels": lambda s, u: s[:, :, :, :5].mean((2, 3)),
    "49 pixels": lambda s, u: u[:, :, :7, :7].mean((2, 3)),
    "channels": lambda s, u: s.mean(1, keepdim=True),
    "adaptive": lambda s, u: F.adaptive_avg_pool2d(u, 1),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_mean(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("mean")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_mean_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("mean")
