"""A slope for each channel, or one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case

CASES: dict[str, Case] = {
    "each": lambda s, u: F.prelu(s, torch.linspace(0, 0.7, 8)),
    "one": lambda s, u: F.prelu(s, torch.tensor([0.1])),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_prelu(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("prelu")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_prelu_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("prelu")
