"""Two forms of one graph run side by side, one operator at a time, to correct each layer before the next sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from xvision.quant.fake import QuantLayer

MEMORY_BYTES = 1 << 30
"""Of activations held at once; it decides how many of the calibration images are used."""


class Stepper(fx.Interpreter):
    """Runs one batch through a graph, node by node."""

    def __init__(self, graph: fx.GraphModule, planes: Sequence[Tensor]) -> None:
        super().__init__(graph)
        self.args_iter = iter(planes)

    def step(self, node: fx.Node) -> Any:
        self.env[node] = self.run_node(node)
        for done in self.user_to_last_uses.get(node, ()):
            del self.env[done]
        return self.env.get(node)

    def ahead(self, nodes: Sequence[fx.Node], wanted: Sequence[fx.Node]) -> list[Any]:
        """What some of the next nodes would give, without going there."""
        here = dict(self.env)
        for node in nodes:
            self.env[node] = self.run_node(node)
        found = [self.env[node] for node in wanted]
        self.env = here
        return found

    def bytes_after(self, node: fx.Node) -> int:
        """Do a step and say what is in memory then."""
        self.step(node)
        return sum(value.nbytes for value in self.env.values() if isinstance(value, Tensor))


def batches_that_fit(
    graph: fx.GraphModule, batches: Sequence[tuple[Tensor, ...]]
) -> list[tuple[Tensor, ...]]:
    """The first batches whose activations fit into memory, in two forms; at least one image."""
    one = Stepper(graph, [plane[:1] for plane in batches[0]])
    with torch.no_grad():
        peak = max(one.bytes_after(node) for node in graph.graph.nodes)
    left = max(1, MEMORY_BYTES // (2 * peak))
    taken = []
    for planes in batches:
        if left > 0:
            taken.append(tuple(plane[:left] for plane in planes))
            left -= len(planes[0])
    return taken


def layerwise(
    graph: fx.GraphModule,
    reference: fx.GraphModule,
    batches: Sequence[tuple[Tensor, ...]],
    visit: Callable[[QuantLayer, list[Tensor], list[Tensor]], None],
) -> None:
    """Run `graph` and its float original layer by layer over all batches.

    At each layer `visit(layer, inputs, targets)`, with its inputs in `graph` and its outputs in `reference`, may
    change the layer; the layers after it see what it then computes.
    """
    quantized = [Stepper(graph, planes) for planes in batches]
    originals = [Stepper(reference, planes) for planes in batches]
    counterparts = dict(zip(graph.graph.nodes, reference.graph.nodes, strict=True))
    with torch.no_grad():
        for node, counterpart in counterparts.items():
            layer = graph.get_submodule(str(node.target)) if node.op == "call_module" else None
            if not isinstance(layer, QuantLayer):
                for ours, original in zip(quantized, originals, strict=True):
                    ours.step(node)
                    original.step(counterpart)
                continue
            source = node.all_input_nodes[0]
            inputs = [ours.env[source] for ours in quantized]
            visit(layer, inputs, [original.step(counterpart) for original in originals])
            for ours in quantized:
                ours.step(node)
