"""One name for each operator, however a network writes it: as a module, a function or a tensor's method."""

from __future__ import annotations

import math
import operator as python
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import Linear
from torch import Tensor, fx, nn


class PaddedConv2d(nn.Conv2d):
    """A convolution with constant zero padding that may differ by side: `pad` is (left, right, top, bottom)."""

    pad: tuple[int, int, int, int]

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, self.pad))


Layer = nn.Conv2d | nn.ConvTranspose2d | nn.Linear

MODULES: dict[type[nn.Module], str] = {
    nn.Conv2d: "conv",
    PaddedConv2d: "conv",
    nn.ConvTranspose2d: "conv_transpose",
    nn.Linear: "linear",
    Linear: "linear",  # timm's: the same arithmetic
    nn.BatchNorm1d: "batch_norm",
    nn.BatchNorm2d: "batch_norm",
    nn.SyncBatchNorm: "batch_norm",
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.Hardtanh: "hardtanh",
    nn.Hardswish: "hardswish",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Sigmoid: "sigmoid",
    nn.SiLU: "silu",
    nn.LeakyReLU: "leaky_relu",
    nn.PReLU: "prelu",
    nn.ELU: "elu",
    nn.GELU: "gelu",
    nn.Tanh: "tanh",
    nn.Softplus: "softplus",
    nn.Mish: "mish",
    nn.MaxPool2d: "max_pool",
    nn.AvgPool2d: "avg_pool",
    nn.AdaptiveAvgPool2d: "adaptive_avg_pool",
    nn.Flatten: "flatten",
    nn.Upsample: "resize",
    nn.UpsamplingNearest2d: "resize",
    nn.UpsamplingBilinear2d: "resize",
    nn.ZeroPad2d: "pad",
    nn.ConstantPad2d: "pad",
    nn.PixelShuffle: "pixel_shuffle",
    nn.ChannelShuffle: "channel_shuffle",
    nn.Identity: "identity",
    nn.Dropout: "dropout",
    nn.Dropout2d: "dropout",
    nn.Softmax: "softmax",
}

FUNCTIONS: dict[Callable[..., Any], str] = {
    F.relu: "relu",
    torch.relu: "relu",
    F.relu6: "relu6",
    F.hardtanh: "hardtanh",
    torch.clamp: "clamp",
    F.hardswish: "hardswish",
    F.hardsigmoid: "hardsigmoid",
    torch.sigmoid: "sigmoid",
    F.silu: "silu",
    F.leaky_relu: "leaky_relu",
    F.elu: "elu",
    F.gelu: "gelu",
    torch.tanh: "tanh",
    F.softplus: "softplus",
    F.mish: "mish",
    python.add: "add",
    torch.add: "add",
    python.sub: "sub",
    torch.sub: "sub",
    python.mul: "mul",
    torch.mul: "mul",
    python.truediv: "div",
    python.getitem: "slice",
    torch.cat: "concat",
    torch.concat: "concat",
    torch.mean: "mean",
    F.max_pool2d: "max_pool",
    torch.max_pool2d: "max_pool",
    F.avg_pool2d: "avg_pool",
    F.adaptive_avg_pool2d: "adaptive_avg_pool",
    torch.flatten: "flatten",
    torch.reshape: "reshape",
    torch.permute: "transpose",
    torch.transpose: "transpose",
    torch.squeeze: "reshape",
    torch.unsqueeze: "reshape",
    torch.chunk: "split",
    torch.split: "split",
    F.interpolate: "resize",
    F.pad: "pad",
    F.pixel_shuffle: "pixel_shuffle",
    F.channel_shuffle: "channel_shuffle",
    F.dropout: "dropout",
    F.softmax: "softmax",
    torch.softmax: "softmax",
}

METHODS: dict[str, str] = {
    "relu": "relu",
    "clamp": "clamp",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "div": "div",
    "mean": "mean",
    "flatten": "flatten",
    "view": "reshape",
    "reshape": "reshape",
    "squeeze": "reshape",
    "unsqueeze": "reshape",
    "permute": "transpose",
    "transpose": "transpose",
    "contiguous": "identity",
    "detach": "identity",
    "clone": "identity",
    "chunk": "split",
    "split": "split",
    "softmax": "softmax",
}


OUT_OF_PLACE: dict[Callable[..., Any], Callable[..., Any]] = {
    python.iadd: python.add,
    python.isub: python.sub,
    python.imul: python.mul,
    torch.relu_: torch.relu,
    F.hardtanh_: F.hardtanh,
    F.leaky_relu_: F.leaky_relu,
    F.elu_: F.elu,
}
"""What computes the same and leaves its input alone."""


def operator(node: fx.Node, modules: Mapping[str, nn.Module]) -> str:
    """The operator that a node of a graph computes; the name of the class or function for unknown ones."""
    if node.op == "call_module":
        module = modules[str(node.target)]
        name = MODULES.get(type(module), type(module).__name__)
        padding = getattr(module, "padding_mode", "zeros")
        return name if padding == "zeros" else f"{name} with {padding} padding"
    if node.op == "call_function":
        assert callable(node.target)
        function = OUT_OF_PLACE.get(node.target, node.target)
        return FUNCTIONS.get(function, getattr(function, "__name__", str(function)))
    if node.op == "call_method":
        return METHODS.get(str(node.target).removesuffix("_"), str(node.target))
    return node.op


def clip_bounds(node: fx.Node, modules: Mapping[str, nn.Module]) -> tuple[float, float] | None:
    """The bounds of an activation that only clips (ReLU, ReLU6, hard tanh, clamp); None for other nodes."""
    name = operator(node, modules)
    if name in ("relu", "relu6"):
        return 0.0, 6.0 if name == "relu6" else math.inf
    if name not in ("hardtanh", "clamp"):
        return None
    if node.op == "call_module":
        module = modules[str(node.target)]
        assert isinstance(module, nn.Hardtanh)
        return float(module.min_val), float(module.max_val)
    keys = ("min_val", "max_val") if name == "hardtanh" else ("min", "max")
    default = (-1.0, 1.0) if name == "hardtanh" else (None, None)
    given = [
        node.args[i] if len(node.args) > i else node.kwargs.get(key, fallback)
        for i, (key, fallback) in enumerate(zip(keys, default, strict=True), start=1)
    ]
    low, high = (-math.inf if given[0] is None else given[0]), (math.inf if given[1] is None else given[1])
    return (
        (float(low), float(high)) if isinstance(low, float | int) and isinstance(high, float | int) else None
    )
