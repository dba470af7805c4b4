"""How large sums get, in steps of their accumulator: float32 is exact below 2^24, a device has so many bits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from xvision.graph.operators import operator
from xvision.quant.fake import EXACT, Quantizer, QuantLayer
from xvision.quant.insert import scheme_of


def bounds(graph: fx.GraphModule) -> dict[fx.Node, int]:
    """What the sums of each layer and product of a quantized network do not exceed, in steps of its accumulator.

    Of a layer that is sum |w| * max |x| + |b|, of its largest channel.
    """
    modules = dict(graph.named_modules())
    found = {node: _bound(node, modules) for node in graph.graph.nodes}
    return {node: bound for node, bound in found.items() if bound}


def check_accumulators(graph: fx.GraphModule) -> None:
    """Raise ValueError for the layer that could need the widest accumulator, if that is wider than the scheme's."""
    bits = scheme_of(graph).accumulator_bits
    of_layers = {_name(node): bound for node, bound in bounds(graph).items() if node.op == "call_module"}
    too_large = {name: bound for name, bound in of_layers.items() if bound >= 1 << bits - 1}
    if too_large:
        name = max(too_large, key=too_large.__getitem__)
        raise ValueError(
            f"quant.accumulator_bits: expected sums below 2^{bits - 1}, got up to 2^{math.log2(too_large[name]):.1f} "
            f"in layer '{name}' ({len(too_large)} layers in all); give it coarser weights (quant.layers={name}:w6), "
            "or split the layer"
        )


def wide(graph: fx.GraphModule) -> list[str]:
    """Layers and products whose sums may go to 2^24 and beyond: they need integers or 64-bit floats to be exact."""
    return [_name(node) for node, bound in bounds(graph).items() if bound >= EXACT]


def sums_beyond_float32(
    graph: fx.GraphModule, batches: Callable[[], Iterable[tuple[Tensor, ...]]]
) -> dict[str, int]:
    """Layers and products of a network whose sums may go beyond 2^24 on the first batch of images, and how far.

    Of those layers with inputs of 8 bits: with 16 it is nothing to be told.
    """
    suspects = {node: bound for node, bound in bounds(graph).items() if not _reads_16_bits(node, graph)}
    if max(suspects.values(), default=0) < EXACT:
        return {}
    found = beyond_float32(graph, next(iter(batches())))
    names = {_tensor(node) for node in suspects}
    return {name: largest for tensor, (name, largest) in found.items() if tensor in names}


def beyond_float32(graph: fx.GraphModule, planes: Sequence[Tensor]) -> dict[str, tuple[str, int]]:
    """Layers and products whose sums may go beyond 2^24 on a batch, by the tensor that they give: name, and how far.

    What counts is the sum of the magnitudes, which no order of summing exceeds. Only those that could exceed it on
    some image are looked at.
    """
    modules = dict(graph.named_modules())
    suspects = {node for node, bound in bounds(graph).items() if bound >= EXACT}
    found: dict[str, tuple[str, int]] = {}

    class Looking(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            if n in suspects:
                inputs: Any = fx.map_arg(n.args, lambda source: self.env[source])
                largest = int(_magnitudes(n, inputs, modules).max())
                if largest >= EXACT:
                    found[_tensor(n)] = (_name(n), largest)
            return super().run_node(n)

    if suspects:
        with torch.no_grad():
            Looking(graph, garbage_collect_values=False).run(*planes)
    return found


def _name(node: fx.Node) -> str:
    return str(node.target) if node.op == "call_module" else node.name


def _tensor(node: fx.Node) -> str:
    """The name of the tensor that a layer gives, its activation included."""
    (user,) = node.users
    return node.name if str(user.target).startswith("quantizers.") else user.name


def _reads_16_bits(node: fx.Node, graph: fx.GraphModule) -> bool:
    layer = graph.get_submodule(str(node.target)) if node.op == "call_module" else None
    return isinstance(layer, QuantLayer) and layer.source.numbers.bits > 8


def _bound(node: fx.Node, modules: dict[str, nn.Module]) -> int:
    """What no input exceeds, in steps of the accumulator; 0 for what sums nothing."""
    layer = modules.get(str(node.target)) if node.op == "call_module" else None
    if isinstance(layer, QuantLayer):
        return layer.accumulator_bound()
    if operator(node, modules) != "matmul":
        return 0
    first, second = (_quantizer(source, modules) for source in node.args)
    if first is None or second is None:  # a scheme may leave it in float
        return 0
    terms = int(node.all_input_nodes[0].meta["shape"][-1])
    return terms * max(-first.low, first.high) * max(-second.low, second.high)


def _magnitudes(node: fx.Node, inputs: tuple[Tensor, ...], modules: dict[str, nn.Module]) -> Tensor:
    layer = modules.get(str(node.target))
    if isinstance(layer, QuantLayer):
        return layer.magnitudes(*inputs)
    first, second = (_quantizer(source, modules) for source in node.args)
    assert first is not None
    assert second is not None
    return (inputs[0].abs().double() / first.scale) @ (inputs[1].abs().double() / second.scale)


def _quantizer(node: Any, modules: dict[str, nn.Module]) -> Quantizer | None:
    found = modules.get(str(node.target)) if isinstance(node, fx.Node) else None
    return found if isinstance(found, Quantizer) else None
