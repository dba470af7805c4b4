"""One name for each operator of a captured graph, and the arguments of its nodes by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch._ops import OpOverload, OpOverloadPacket

aten = torch.ops.aten


class PaddedConv2d(nn.Conv2d):
    """A convolution with constant zero padding that may differ by side: `pad` is (left, right, top, bottom)."""

    pad: tuple[int, int, int, int]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.pad))


Layer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear

LAYERS: dict[type[nn.Module], str] = {
    nn.Conv2d: "conv",
    PaddedConv2d: "conv",
    nn.ConvTranspose2d: "conv_transpose",
    nn.Linear: "linear",
}
"""The modules of a captured graph that have weights; all else are functions."""

FUNCTIONS: dict[OpOverloadPacket, str] = {
    aten.relu: "relu",
    aten.relu6: "relu6",
    aten.hardtanh: "hardtanh",
    aten.clamp: "clamp",
    aten.clamp_min: "clamp",
    aten.clamp_max: "clamp",
    aten.hardswish: "hardswish",
    aten.hardsigmoid: "hardsigmoid",
    aten.sigmoid: "sigmoid",
    aten.silu: "silu",
    aten.leaky_relu: "leaky_relu",
    aten.elu: "elu",
    aten.gelu: "gelu",
    aten.tanh: "tanh",
    aten.softplus: "softplus",
    aten.mish: "mish",
    aten.selu: "selu",
    aten.celu: "celu",
    aten.hardshrink: "hardshrink",
    aten.log_sigmoid: "log_sigmoid",
    aten.abs: "abs",
    aten.exp: "exp",
    aten.prelu: "prelu",
    aten.add: "add",
    aten.sub: "sub",
    aten.mul: "mul",
    aten.div: "div",
    aten.mean: "mean",
    aten.sum: "sum",
    aten.max_pool2d: "max_pool",
    aten.avg_pool2d: "avg_pool",
    aten.adaptive_avg_pool2d: "adaptive_avg_pool",
    aten.cat: "concat",
    aten.hstack: "concat",
    aten.vstack: "concat",
    aten.stack: "concat",
    aten.maximum: "maximum",
    aten.minimum: "minimum",
    aten.amax: "amax",
    aten.amin: "amin",
    aten.flatten: "reshape",
    aten.unflatten: "reshape",
    aten.reshape: "reshape",
    aten.reshape_as: "reshape",
    aten.view: "reshape",
    aten.view_as: "reshape",
    aten.squeeze: "reshape",
    aten.unsqueeze: "reshape",
    aten.permute: "transpose",
    aten.transpose: "transpose",
    aten.t: "transpose",
    aten.mT: "transpose",
    aten.swapaxes: "transpose",
    aten.moveaxis: "transpose",
    aten.movedim: "transpose",
    aten.chunk: "split",
    aten.tensor_split: "split",
    aten.split: "split",
    aten.split_with_sizes: "split",
    aten.unbind: "split",
    aten.slice: "slice",
    aten.narrow: "slice",
    aten.select: "slice",
    aten.index_select: "slice",
    aten.index: "slice",
    aten.im2col: "slice",
    aten.rot90: "slice",
    aten.tile: "slice",
    aten.repeat_interleave: "slice",
    aten.flip: "slice",
    aten.roll: "slice",
    aten.expand: "slice",
    aten.expand_as: "slice",
    aten.repeat: "slice",
    aten.upsample_nearest2d: "resize",
    aten._upsample_nearest_exact2d: "resize",
    aten.upsample_bilinear2d: "resize",
    aten.pad: "pad",
    aten.constant_pad_nd: "pad",
    aten.pixel_shuffle: "pixel_shuffle",
    aten.pixel_unshuffle: "pixel_shuffle",
    aten.channel_shuffle: "channel_shuffle",
    aten.batch_norm: "batch_norm",
    aten.conv2d: "conv",
    aten.conv_transpose2d: "conv_transpose",
    aten.linear: "linear",
    aten.matmul: "matmul",
    aten.bmm: "matmul",
    aten.softmax: "softmax",
}


PYTHON = {"getitem": "slice", "bilinear": "resize", "quotient": "div"}
"""Functions that are none of torch's, by their names."""


def packet(node: fx.Node) -> OpOverloadPacket | None:
    """The operator of a node that calls one of torch's, whatever its overload."""
    return node.target.overloadpacket if isinstance(node.target, OpOverload) else None


def operator(node: fx.Node, modules: Mapping[str, nn.Module]) -> str:
    """The operator that a node of a captured graph computes; the name of the class or function for unknown ones."""
    if node.op == "call_module":
        module = modules[str(node.target)]
        return LAYERS.get(type(module), type(module).__name__)
    called = packet(node)
    if called is not None:
        return FUNCTIONS.get(called, str(called).removeprefix("aten."))
    if node.op == "call_function":
        name = getattr(node.target, "__name__", str(node.target))
        return PYTHON.get(name, name)
    return node.op


def arguments(node: fx.Node) -> dict[str, Any]:
    """The arguments of a call of one of torch's operators by name, defaults too."""
    assert isinstance(node.target, OpOverload)
    return {
        one.name: node.args[i] if i < len(node.args) else node.kwargs.get(one.name, one.default_value)
        for i, one in enumerate(node.target._schema.arguments)
    }


def clip_bounds(node: fx.Node, modules: Mapping[str, nn.Module]) -> tuple[float, float] | None:
    """The bounds of an activation that only clips (ReLU, ReLU6, hard tanh, clamp); None for other nodes."""
    name = operator(node, modules)
    if name in ("relu", "relu6"):
        return 0.0, 6.0 if name == "relu6" else math.inf
    if name not in ("hardtanh", "clamp"):
        return None
    given = arguments(node)
    low, high = (given.get(f"{end}_val", given.get(end)) for end in ("min", "max"))
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    return (
        (float(low), float(high)) if isinstance(low, float | int) and isinstance(high, float | int) else None
    )
