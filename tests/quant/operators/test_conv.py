"""Convolutions: strides, padding on one side, dilation, groups, depthwise; per tensor and per channel."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case, On

CASES: dict[str, Case] = {
    "3x3": On(nn.Conv2d(8, 6, 3)),
    "stride and padding": On(nn.Conv2d(8, 6, 3, stride=2, padding=1), unsigned=True),
    "dilated": On(nn.Conv2d(8, 6, 3, padding=2, dilation=2)),
    "groups": On(nn.Conv2d(8, 8, 3, groups=2), unsigned=True),
    "depthwise": On(nn.Conv2d(8, 8, 3, padding=1, groups=8)),
    "even kernel": On(nn.Sequential(nn.ZeroPad2d((1, 2, 0, 1)), nn.Conv2d(8, 6, (2, 4)))),
    "without bias": On(nn.Conv2d(8, 6, 1, bias=False)),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_conv(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("conv")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_conv_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("conv")
