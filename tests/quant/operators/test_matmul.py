"""Products of two matrices that both depend on the image."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case

CASES: dict[str, Case] = {
    "attention": lambda s, u: s.flatten(2).transpose(1, 2) @ u.flatten(2),
    "bmm": lambda s, u: torch.bmm(u.flatten(2), s.flatten(2).transpose(1, 2)),
    "four dimensions": lambda s, u: s @ u,
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_matmul(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("matmul")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_matmul_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("matmul")
