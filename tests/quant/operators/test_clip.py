"""Clips after a layer, after a sum and after another quantizer: part of the requantization."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch.nn.functional as F
from torch import nn

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case, On

CASES: dict[str, Case] = {
    "relu": lambda s, u: F.relu(s),
    "relu6": On(nn.Sequential(nn.Conv2d(8, 6, 1), nn.ReLU6())),
    "hardtanh": On(nn.Sequential(nn.Conv2d(8, 6, 1), nn.Hardtanh(-0.3, 0.2))),
    "clamp": lambda s, u: s.clamp(-0.4, 0.3),
    "one side": lambda s, u: u.clamp(max=0.55),
    "of a sum": lambda s, u: F.relu6(s + u),
    "read before and after": lambda s, u: F.relu(s) * s,
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_clip(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("clip")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_clip_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("clip")
