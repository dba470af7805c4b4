"""Transposed convolutions: kernels that overlap, groups, output padding."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case, On

CASES: dict[str, Case] = {
    "no overlap": On(nn.ConvTranspose2d(8, 4, 2, 2)),
    "overlap": On(nn.ConvTranspose2d(8, 4, 4, 2, 1), unsigned=True),
    "groups": On(nn.ConvTranspose2d(8, 8, 4, 2, 1, groups=4)),
    "output padding": On(nn.ConvTranspose2d(8, 4, 3, 2, 1, output_padding=1)),
    "dilated": On(nn.ConvTranspose2d(8, 4, 3, dilation=2)),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_conv_transpose(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("conv_transpose")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_conv_transpose_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("conv_transpose")
