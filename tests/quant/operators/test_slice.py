"""Parts of a tensor, its axes in another order, and shapes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case

CASES: dict[str, Case] = {
    "split": lambda s, u: s.chunk(2, 1)[1],
    "both halves": lambda s, u: torch.cat(s.split([3, 5], 1)[::-1], 1),
    "slice": lambda s, u: u[:, :, 1:7:2, 1:],
    "index": lambda s, u: s[:, [0, 3, 1]],
    "flip": lambda s, u: s.flip(3),
    "roll": lambda s, u: u.roll(2, 3),
    "transpose": lambda s, u: s.permute(0, 2, 3, 1),
    "reshape": lambda s, u: u.reshape(u.shape[0], 4, -1),
    "repeat": lambda s, u: s[:, :2].repeat(1, 2, 1, 1),
    "unfold": lambda s, u: F.unfold(s, 2, stride=2),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_slice(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("slice")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_slice_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("slice")
