"""How large sums get, in steps of their accumulator: float32 is exact below 2^24, a device has so many bits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, fx, nn

from xvision.graph.operators import operator
from xvision.quant.fake import EXACT, Quantizer, QuantLayer


def check_accumulators(graph: fx.GraphModule, bits: int) -> None:
    """Raise ValueError for the layer that could need the widest accumulator, if that is wider than `bits`."""
    bounds = {name: m.accumulator_bound() for name, m in graph.named_modules() if isinstance(m, QuantLayer)}
    name = max(bounds, key=bounds.__getitem__, default=None)
    if name is None or bounds[name] < 1 << bits - 1:
        return
    number = sum(bound >= 1 << bits - 1 for bound in bounds.values())
    raise ValueError(
        f"quant.accumulator_bits: expected sums below 2^{bits - 1}, got up to 2^{math.log2(bounds[name]):.1f} in layer "
        f"'{name}' ({number} layers in all); give it coarser weights (quant.layers={name}:w6), or split the layer"
    )


def sums_beyond_float32(
    graph: fx.GraphModule, batches: Callable[[], Iterable[tuple[Tensor, ...]]]
) -> dict[str, int]:
    """Layers and products of a network whose sums may go beyond 2^24 on the first batch of images, and how far.

    What counts is the sum of the magnitudes, which no order of summing exceeds. Only those that could exceed it on
    some image are looked at, and of those layers with inputs of 8 bits: with 16 it is nothing to be told.
    """
    modules = dict(graph.named_modules())
    suspects = {node for node in graph.graph.nodes if _bound(node, modules) >= EXACT}
    found: dict[str, int] = {}

    class Looking(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            if n in suspects:
                inputs: Any = fx.map_arg(n.args, lambda source: self.env[source])
                largest = int(_magnitudes(n, inputs, modules).max())
                if largest >= EXACT:
                    found[str(n.target) if n.op == "call_module" else n.name] = largest
            return super().run_node(n)

    if suspects:
        with torch.no_grad():
            Looking(graph, garbage_collect_values=False).run(*next(iter(batches())))
    return found


def _bound(node: fx.Node, modules: dict[str, nn.Module]) -> int:
    """What no input exceeds, in steps of the accumulator; 0 for what sums nothing."""
    layer = modules.get(str(node.target)) if node.op == "call_module" else None
    if isinstance(layer, QuantLayer):
        return layer.accumulator_bound() if layer.source.numbers.bits <= 8 else 0
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
