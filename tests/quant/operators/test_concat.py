"""Tensors joined: of two scales, of one, of three, and stored numbers beside them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case

CASES: dict[str, Case] = {
    "two scales": lambda s, u: torch.cat([s, 3 * u], 1),
    "itself": lambda s, u: torch.cat([u, u], 1),
    "rows": lambda s, u: torch.cat([s, u[:, :, :2]], 2),
    "stacked": lambda s, u: torch.stack([s, u], 2),
    "zeros": lambda s, u: torch.cat([u, torch.zeros(u.shape[0], 1, *u.shape[2:])], 1),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_concat(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("concat")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_concat_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("concat")
