"""Maps of each channel by a gain and an offset, folded into the layer before them: batch norm, and what else scales.

w' = w * gain,  b' = b * gain + offset; of batch norm gain = gamma / sigma, offset = beta - mean * gain, and
sigma = sqrt(var + eps) (Jacob et al., "Quantization and Training of Neural Networks", CVPR 2018, section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from xvision.graph.operators import LAYERS, Layer, arguments, aten, packet
from xvision.graph.simplify import constant, free_path, same_shape, store


@dataclass(frozen=True)
class Affine:
    """x * gain + offset, in double; both have one number, or one for each index along `axis` of the tensor."""

    source: fx.Node
    gain: Tensor
    offset: Tensor
    axis: int | None

    @property
    def does_nothing(self) -> bool:
        return bool((self.gain == 1).all() and (self.offset == 0).all())


def fold_affine(graph: fx.GraphModule) -> None:
    """Fold what scales and shifts channels into the layer before it, where nothing else reads that layer.

    Without such a layer, a map of channels becomes a 1x1 depthwise convolution, anything else a product and a sum.

    Raises: ValueError for a batch norm that has no statistics of its own.
    """
    modules = dict(graph.named_modules())
    for node in list(graph.graph.nodes):
        found = _affine(graph, node)
        if found is None:
            continue
        layer = modules.get(str(found.source.target)) if found.source.op == "call_module" else None
        if found.does_nothing:
            _replace(node, found.source)
        elif type(layer) in LAYERS and len(found.source.users) == 1 and _same_axis(layer, found, node):
            _fold_into(layer, found.gain, found.offset)  # type: ignore[arg-type]
            found.source.meta["layer"] = node.meta.get("layer", "")  # whose output it gives now
            _replace(node, found.source)
        elif node.meta["val"].ndim == 4 and found.axis == 1:
            _as_depthwise(graph, node, found)
            modules = dict(graph.named_modules())
        elif packet(node) not in (aten.mul, aten.add, aten.sub):
            _as_product_and_sum(graph, node, found)


def _replace(node: fx.Node, source: fx.Node) -> None:
    node.replace_all_uses_with(source)
    node.graph.erase_node(node)


def _same_axis(layer: Any, found: Affine, node: fx.Node) -> bool:
    channels = node.meta["val"].ndim - 1 if isinstance(layer, nn.Linear) else 1
    return found.axis in (None, channels)


def _affine(graph: fx.GraphModule, node: fx.Node) -> Affine | None:
    """What a node does as a map of channels, if it is one with stored numbers."""
    called = packet(node)
    if called is aten.batch_norm:
        return _batch_norm(graph, node)
    if called not in (aten.mul, aten.div, aten.add, aten.sub, aten.rsub, aten.neg, aten.addcmul):
        return None
    given = arguments(node)
    one, nothing = torch.ones((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    if called is aten.neg:
        return _along(graph, node, given["self"], -one, nothing)
    if called is aten.addcmul:
        offset, gain = _number(graph, given["self"]), _number(graph, given["tensor1"])
        source = given["tensor2"]
        if gain is None:
            gain, source = _number(graph, given["tensor2"]), given["tensor1"]
        if gain is None or offset is None:
            return None
        return _along(graph, node, source, gain * given["value"], offset)
    if given.get("rounding_mode") is not None:
        return None
    x, other = given["self"], given["other"]
    number, alpha = _number(graph, other), given.get("alpha", 1)
    if number is None:
        x, other, number = other, x, _number(graph, x)
        if number is None or called is aten.div:
            return None
        if called is aten.sub:  # number - alpha x
            return _along(graph, node, x, -alpha * one, number)
        if called is aten.add and alpha != 1:
            return None
    if called is aten.mul:
        return _along(graph, node, x, number, nothing)
    if called is aten.div:
        return _along(graph, node, x, 1 / number, nothing)
    if called is aten.rsub:  # other - alpha self
        return _along(graph, node, x, -alpha * one, number)
    return _along(graph, node, x, one, number * (alpha if called is aten.add else -alpha))


def _number(graph: fx.GraphModule, what: Any) -> Tensor | None:
    if isinstance(what, int | float):
        return torch.tensor(what, dtype=torch.float64)
    value = constant(graph, what)
    return None if value is None else value.double()


def _along(graph: fx.GraphModule, node: fx.Node, source: Any, gain: Tensor, offset: Tensor) -> Affine | None:
    """With `gain` and `offset` as lines along one axis of the source; None if they vary along several."""
    if not isinstance(source, fx.Node) or source.op == "get_attr":
        return None
    a, b = source.meta.get("val"), node.meta.get("val")
    if not isinstance(a, Tensor) or not isinstance(b, Tensor) or a.dtype != b.dtype:
        return None
    if not same_shape(a, b) or not a.is_floating_point():
        return None
    axes = set()
    for values in (gain, offset):
        shape = (1,) * (a.ndim - values.ndim) + tuple(values.shape)
        axes |= {i for i, size in enumerate(shape) if size != 1}
    if len(axes) > 1:
        return None
    axis = axes.pop() if axes else None
    size = max(gain.numel(), offset.numel())
    return Affine(source, gain.flatten().expand(size), offset.flatten().expand(size), axis)


def _batch_norm(graph: fx.GraphModule, node: fx.Node) -> Affine | None:
    given = arguments(node)
    mean, variance = constant(graph, given["running_mean"]), constant(graph, given["running_var"])
    weight, bias = constant(graph, given["weight"]), constant(graph, given["bias"])
    if given["training"] or mean is None or variance is None:
        raise ValueError(
            f"layer {node.meta.get('layer') or node.name}: expected a batch norm with running statistics, got one that "
            "takes those of each batch, so that a result depends on the other images; use track_running_stats=True"
        )
    gain = torch.rsqrt(variance.double() + given["eps"])
    offset = -mean.double() * gain
    if weight is not None:
        gain, offset = gain * weight.double(), offset * weight.double()
    if bias is not None:
        offset = offset + bias.double()
    return Affine(given["input"], gain, offset, 1)


def _fold_into(layer: Layer, gain: Tensor, offset: Tensor) -> None:
    weight, outputs = layer.weight, layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
    gain, offset = gain.expand(outputs), offset.expand(outputs)
    if isinstance(layer, nn.ConvTranspose2d):  # (in, out / groups, kernel), the groups stacked along in
        per_weight = gain.view(layer.groups, 1, weight.shape[1])
        per_weight = per_weight.expand(-1, weight.shape[0] // layer.groups, -1).reshape(
            *weight.shape[:2], 1, 1
        )
    else:
        per_weight = gain.view(-1, *[1] * (weight.ndim - 1))
    old = torch.zeros_like(gain) if layer.bias is None else layer.bias.detach().double()
    layer.weight = nn.Parameter((weight.detach().double() * per_weight).to(weight.dtype))
    layer.bias = nn.Parameter((old * gain + offset).to(weight.dtype))


def _as_depthwise(graph: fx.GraphModule, node: fx.Node, found: Affine) -> None:
    channels = int(node.meta["val"].shape[1])
    conv = nn.Conv2d(channels, channels, 1, groups=channels)
    conv.weight = nn.Parameter(found.gain.expand(channels).float().reshape(-1, 1, 1, 1).clone())
    conv.bias = nn.Parameter(found.offset.expand(channels).float().clone())
    path = free_path(graph, node.meta.get("layer") or "scale")
    graph.add_submodule(path, conv.to(found.gain.device).eval())
    with graph.graph.inserting_before(node):
        call = graph.graph.call_module(path, (found.source,))
    call.meta = dict(node.meta)
    _replace(node, call)


def _as_product_and_sum(graph: fx.GraphModule, node: fx.Node, found: Affine) -> None:
    """x * gain + offset, written out."""
    result = found.source
    for target, name, values in (
        (aten.mul.Tensor, "gain", found.gain),
        (aten.add.Tensor, "offset", found.offset),
    ):
        if bool((values == (target is aten.mul.Tensor)).all()):
            continue
        with graph.graph.inserting_before(node):
            result = graph.graph.call_function(
                target, (result, _stored(graph, node, name, values, found.axis))
            )
        result.meta = dict(node.meta)
    _replace(node, result)


def _stored(graph: fx.GraphModule, node: fx.Node, name: str, values: Tensor, axis: int | None) -> Any:
    """Numbers along an axis of a node, in the graph; a single one as it is."""
    if axis is None:
        return float(values.flatten()[0])
    shape = [-1 if i == axis else 1 for i in range(node.meta["val"].ndim)]
    return store(graph, f"{node.name}_{name}", values.float().reshape(shape))
