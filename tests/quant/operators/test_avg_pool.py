"""Average pools: even and odd windows, padding that counts and that does not, windows beyond the border."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch.nn.functional as F

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case

CASES: dict[str, Case] = {
    "2x2": lambda s, u: F.avg_pool2d(s, 2),
    "3x3": lambda s, u: F.avg_pool2d(u, 3, 2),
    "padding": lambda s, u: F.avg_pool2d(s, 3, 2, 1),
    "padding that does not count": lambda s, u: F.avg_pool2d(u, 3, 2, 1, count_include_pad=False),
    "ceil": lambda s, u: F.avg_pool2d(s, 3, 2, ceil_mode=True),
    "adaptive": lambda s, u: F.adaptive_avg_pool2d(s, 4),
    "of a line": lambda s, u: F.avg_pool1d(s.flatten(2), 3, 2, 1),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_avg_pool(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("avg_pool")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_avg_pool_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("avg_pool")
