"""Tensors whose channels belong together, between the layers that give them and the layers that take them.

Inside a region channel i of one tensor is channel i of each other: activations, pools, quantizers and sums leave the
channels where they are. So what is done to channel i by all layers that give it can be undone by all that take it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn

from xvision.graph.operators import arguments, clip_bounds, operator
from xvision.quant.fake import Quantizer, QuantLayer

Passes = Callable[[fx.Node, Mapping[str, nn.Module]], bool]
"""Whether an operator leaves the channels of its input, or of all its inputs, where they are."""

POOLS = ("max_pool", "avg_pool", "adaptive_avg_pool", "resize")


@dataclass
class Region:
    """Layers by name: `sources` give its tensors, `sinks` take them; `inside` are the nodes of the tensors."""

    sources: list[str] = field(default_factory=list)
    sinks: list[str] = field(default_factory=list)
    inside: list[fx.Node] = field(default_factory=list)
    closed: bool = True
    """Whether only layers give and take its tensors."""

    def joined(self, other: Region) -> Region:
        return Region(
            self.sources + other.sources,
            self.sinks + other.sinks,
            self.inside + other.inside,
            self.closed and other.closed,
        )


def regions(graph: fx.GraphModule, passes: Passes) -> list[Region]:
    """The closed regions of a quantized graph, in its order; `passes` says of operators what may lie inside."""
    modules = dict(graph.named_modules(remove_duplicate=False))
    of: dict[fx.Node, Region] = {}
    for node in graph.graph.nodes:
        layer = modules.get(str(node.target)) if node.op == "call_module" else None
        sources = [source for source in node.all_input_nodes if source in of]
        if isinstance(layer, QuantLayer):
            of[sources[0]].sinks.append(str(node.target))
            _put(of, Region([str(node.target)], inside=[node], closed=_has_channels(node)))
        elif sources and "shape" in node.meta and (isinstance(layer, Quantizer) or passes(node, modules)):
            found = Region(inside=[node])
            for one in {id(of[source]): of[source] for source in sources}.values():
                found = one.joined(found)
            _put(of, found)
        else:
            for source in sources:
                of[source].closed = False
            if "shape" in node.meta:
                _put(of, Region(inside=[node], closed=False))
    found_all = {id(region): region for region in of.values()}.values()
    return [region for region in found_all if region.closed and region.sources and region.sinks]


def _put(of: dict[fx.Node, Region], region: Region) -> None:
    for node in region.inside:
        of[node] = region


def _has_channels(node: fx.Node) -> bool:
    """Whether channels are on axis 1: not in what a linear layer gives for each position."""
    shape = node.meta["shape"]
    return len(shape) in (2, 4)


def scales_pass(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    """Whether positive factors of channels pass an operator: f(s x) = s f(x), exactly.

    ReLU6 lets none pass: its cap would have to move with each channel, and a clip on a device has one bound.
    """
    kind = operator(node, modules)
    if clip_bounds(node, modules) == (0.0, math.inf):
        return True
    if kind == "add":
        return _sums_alike(node)
    return kind == "leaky_relu" or _keeps_channels(node, kind)


def copies_pass(node: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    """Whether a channel that is there twice passes an operator twice: functions of one value, and pools."""
    kind = operator(node, modules)
    return kind in ELEMENTWISE or clip_bounds(node, modules) is not None or _keeps_channels(node, kind)


ELEMENTWISE = {
    *("leaky_relu", "hardswish", "hardsigmoid", "sigmoid", "silu", "elu", "gelu", "tanh", "softplus", "mish"),
    *("selu", "celu", "hardshrink", "log_sigmoid", "abs", "exp"),
}


def _keeps_channels(node: fx.Node, kind: str) -> bool:
    if kind == "mean":
        axes = arguments(node).get("dim") or [1]
        return all(axis % 4 in (2, 3) for axis in axes) and len(node.all_input_nodes[0].meta["shape"]) == 4
    return kind in POOLS


def _sums_alike(node: fx.Node) -> bool:
    """A sum of two tensors of one shape."""
    shapes = [source.meta.get("shape") for source in node.all_input_nodes]
    return len(shapes) == 2 and shapes[0] == shapes[1] == node.meta["shape"]


# ------------------------------------------------------------------------------------------------ channels of a layer


def by_channels(layer: QuantLayer) -> Tensor:
    """A view of a layer's weights, (groups, outputs, inputs, taps)."""
    groups, weight = layer.options.get("groups", 1), layer.weight.detach()
    of_groups = weight.view(groups, weight.shape[0] // groups, weight.shape[1], -1)
    return of_groups.transpose(1, 2) if layer.kind == "conv_transpose" else of_groups


def largest_of_outputs(layer: QuantLayer) -> Tensor:
    """The largest weight of each output channel, (O,)."""
    return by_channels(layer).abs().amax((2, 3)).flatten()


def largest_of_inputs(layer: QuantLayer) -> Tensor:
    """The largest weight on each input channel, (I,)."""
    return by_channels(layer).abs().amax((1, 3)).flatten()


def scale_outputs(layer: QuantLayer, factors: Tensor) -> None:
    """Give output channels (O,) these multiples of what they were, in place."""
    weight = by_channels(layer)
    weight *= factors.reshape(weight.shape[0], -1, 1, 1)
    layer.bias.detach().mul_(factors)


def scale_inputs(layer: QuantLayer, factors: Tensor) -> None:
    """Multiply the weights on input channels (I,), in place."""
    weight = by_channels(layer)
    weight *= factors.reshape(weight.shape[0], 1, -1, 1)


def extremes_of_channels(
    graph: fx.GraphModule, nodes: set[fx.Node], batches: list[tuple[Tensor, ...]]
) -> dict[fx.Node, tuple[Tensor, Tensor]]:
    """The smallest and the largest value of each channel of some nodes, (C,) each."""
    found: dict[fx.Node, tuple[Tensor, Tensor]] = {}

    class Looking(fx.Interpreter):
        def run_node(self, n: fx.Node) -> object:
            result = super().run_node(n)
            if n in nodes:
                rows = result.transpose(0, 1).flatten(1)
                low, high = rows.amin(1), rows.amax(1)
                if n in found:
                    low, high = torch.minimum(low, found[n][0]), torch.maximum(high, found[n][1])
                found[n] = low, high
            return result

    with torch.no_grad():
        for planes in batches:
            Looking(graph).run(*planes)
    return found
