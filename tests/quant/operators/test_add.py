"""Sums and differences of tensors of two scales, with numbers of the graph, stored tensors, a clip after them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case

CASES: dict[str, Case] = {
    "two scales": lambda s, u: s + 3 * u,
    "relu": lambda s, u: F.relu(s + u),
    "itself": lambda s, u: s + s,
    "alpha": lambda s, u: torch.add(u, s, alpha=2),
    "difference": lambda s, u: s - u,
    "a number": lambda s, u: s + 0.1,
    "from a number": lambda s, u: 1 - u,
    "broadcast": lambda s, u: s + u[:, :, :1, :1],
    "stored": lambda s, u: s + torch.linspace(-1, 1, 8),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_add(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("add")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_add_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("add")
