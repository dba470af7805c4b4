"""Functions of one value: a table of 256 entries, on inputs with and without a zero point in the middle."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from tests.quant.operators.compared import IN_RUNTIME, SCHEMES, Compared, InRuntime
from tests.quant.operators.network import Case

FUNCTIONS = (
    torch.sigmoid,
    F.hardsigmoid,
    F.hardswish,
    F.silu,
    F.gelu,
    F.elu,
    torch.tanh,
    F.softplus,
    F.mish,
    torch.abs,
    torch.exp,
)
CASES: dict[str, Case] = {
    **{function.__name__: lambda s, u, function=function: function(s) for function in FUNCTIONS},
    **{
        f"{function.__name__} unsigned": lambda s, u, function=function: function(u)
        for function in FUNCTIONS[:4]
    },
    "leaky relu": lambda s, u: F.leaky_relu(s, 0.1),
    "squeeze": lambda s, u: s * F.hardsigmoid(u.mean((2, 3), keepdim=True)),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_table(scheme: str, compared: Callable[[str], Compared]) -> None:
    compared(scheme).check("table")


@pytest.mark.parametrize("scheme", IN_RUNTIME)
def test_table_in_onnxruntime(scheme: str, in_runtime: Callable[[str], InRuntime]) -> None:
    in_runtime(scheme).check("table")
