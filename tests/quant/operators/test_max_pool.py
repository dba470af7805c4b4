"""Max pools and largest values: codes are compared, nothing is rounded."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case

CASES: dict[str, Case] = {
    "2x2": lambda s, u: F.max_pool2d(s, 2),
    "padding": lambda s, u: F.max_pool2d(s, 3, 2, 1),
    "unsigned": lambda s, u: F.max_pool2d(u, 3, 1, 1),
    "ceil": lambda s, u: F.max_pool2d(s, 3, 2, ceil_mode=True),
    "adaptive": lambda s, u: F.adaptive_max_pool2d(s, 4),
    "largest": lambda s, u: s.amax((2, 3)),
    "smallest": lambda s, u: s.amin(1, keepdim=True),
    "maximum": lambda s, u: torch.maximum(s, u),
    "minimum": lambda s, u: torch.minimum(3 * s, u),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_max_pool(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("max_pool")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_max_pool_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("max_pool")
