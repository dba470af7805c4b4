"""Operators under all the names that torch has for them: in integers, and in the file as in the simulation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx

import xvision as xv
from tests.graph.written import Written
from xvision.quant.methods import method

SLOPES = torch.linspace(0, 0.7, 8)
ONE_TENSOR: dict[str, Callable[[Tensor], Tensor]] = {
    "mT": lambda x: x.flatten(2).mT,
    "swapaxes": lambda x: x.swapaxes(1, 2),
    "moveaxis": lambda x: x.moveaxis(1, -1),
    "square": torch.square,
    "power": lambda x: x**2,
    "clip": lambda x: torch.clip(x, -0.5, 0.75),
    "tile": lambda x: x[..., :2].tile(1, 1, 3, 3),
    "repeat_interleave": lambda x: x.repeat_interleave(2, 1),
    "tensor_split": lambda x: torch.tensor_split(x, 2, 1)[1],
    "index": lambda x: x[:, [0, 3, 1]],
    "rot90": lambda x: torch.rot90(x, 1, (2, 3)),
    "unfold": lambda x: F.unfold(x, 2, stride=2),
    "divide": lambda x: torch.divide(x, 3),
    "negative": torch.negative,
    "one minus": lambda x: 1 - x,
    "max": lambda x: x.max(1, keepdim=True)[0],
    "min": lambda x: x.min(1).values,
    "amax": lambda x: x.amax((2, 3)),
    "adaptive_max_pool to one": lambda x: F.adaptive_max_pool2d(x, 1),
    "adaptive_max_pool": lambda x: F.adaptive_max_pool2d(x, 4),
    "max_pool1d": lambda x: F.max_pool1d(x.flatten(2), 2),
    "avg_pool1d": lambda x: F.avg_pool1d(x.flatten(2), 3, 2, 1),
    "adaptive_avg_pool1d": lambda x: F.adaptive_avg_pool1d(x.flatten(2), 1),
    "sum": lambda x: x.sum((2, 3)),
    "nearest-exact": lambda x: F.interpolate(x, scale_factor=2, mode="nearest-exact"),
    "abs": torch.abs,
    "prelu": lambda x: F.prelu(x, SLOPES),
    "selu": F.selu,
    "celu": F.celu,
    "hardshrink": F.hardshrink,
    "logsigmoid": F.logsigmoid,
    "exp": torch.exp,
    "zeros beside": lambda x: torch.cat([x, torch.zeros(x.shape[0], 1, *x.shape[2:])], 1),
    "ones_like": lambda x: x + torch.ones_like(x),
    "new_full": lambda x: x * x.new_full(x.shape, 0.5),
    "positions": lambda x: x + torch.ones(x.shape[0], 1, *x.shape[2:], dtype=torch.bool).cumsum(2).sin(),
}
TWO_TENSORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "concatenate": lambda x, y: torch.concatenate([x, y], 1),
    "hstack": lambda x, y: torch.hstack([x, y]),
    "multiply": torch.multiply,
    "subtract": torch.subtract,
    "maximum": torch.maximum,
    "min of two": torch.min,
    "bmm": lambda x, y: torch.bmm(x.flatten(2), y.flatten(2).transpose(1, 2)),
}


def all_of_them(net: Any, x: Tensor) -> dict[str, Tensor]:
    """Each behind a layer of its own weights, so that no two share a scale."""
    made = {name: op(net.conv(x)) for name, op in ONE_TENSOR.items()}
    return made | {name: op(net.conv(x), net.side(x)) for name, op in TWO_TENSORS.items()}


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def quantized(images: Tensor) -> fx.GraphModule:
    q = xv.quantize(Written(all_of_them).eval(), [images], method=method.ptq(rungs="mse"))
    assert isinstance(q, fx.GraphModule)
    return q


def test_none_is_in_float(quantized: fx.GraphModule) -> None:
    assert quantized.meta["float_operators"] == []


def test_they_compute_what_the_network_computes(quantized: fx.GraphModule, images: Tensor) -> None:
    with torch.no_grad():
        wanted, got = Written(all_of_them)(images), quantized(images)
    for name, value in wanted.items():
        noise = (got[name] - value).square().sum()
        assert noise < 0.02 * value.square().sum(), name  # hardshrink jumps


@pytest.mark.parametrize("batch", [None, 2])
def test_no_code_differs_in_the_file(
    batch: int | None, quantized: fx.GraphModule, images: Tensor, tmp_path: Path
) -> None:
    file = xv.export(quantized, tmp_path / "all.onnx", batch=batch)
    parity = xv.verify(quantized, file, [images[:3]])
    assert parity.ok
    assert parity.max_lsb == 0
    assert parity.levels["off"].tensors > 60


def test_a_divisor_that_is_rounded_to_zero(tmp_path: Path) -> None:
    """As in attention without softmax: 0 / (0 + epsilon) is 0 in float, and epsilon is less than half a step."""
    network = Written(lambda net, x: F.relu(net.conv(x)) / (F.relu(net.conv(x)) + 1e-5))
    x = torch.randn(8, 3, 16, 16)
    with pytest.warns(UserWarning, match="1 operators without a rule compute in float between integers: div"):
        q = xv.quantize(network, [x], method=method.ptq(rungs="mse"))
    with torch.no_grad():
        assert q(x)["out0"].isfinite().all()
    assert xv.verify(q, xv.export(q, tmp_path / "quotient.onnx"), [x[:2]]).max_lsb == 0
