"""Proof that a captured graph computes what the network computes, in float, on a batch of images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, fx, nn

from xvision.graph.exported import evaluated
from xvision.graph.outputs import named
from xvision.graph.planes import as_float32

TOLERANCE = 1e-3
"""Of the largest value: what folding batch norms and another order of sums may change, with room."""
IMAGES = 8


def check_same(graph: fx.GraphModule, network: nn.Module, example: Sequence[Tensor]) -> None:
    """Raises: ValueError that names the first layer that differs, if the two give different outputs."""
    planes = as_float32(x[:IMAGES] for x in example)
    with evaluated(network), torch.no_grad():
        wanted = named(network(*(x.clone() for x in planes)))
        found = graph(*planes)
    different = [name for name in found if difference(wanted[name], found[name]) > TOLERANCE]
    if not different:
        return
    layer = _first_that_differs(graph, network, planes)
    worst = max(difference(wanted[name], found[name]) for name in different)
    raise ValueError(
        f"{type(network).__name__}: expected the captured graph to compute what the network computes, output "
        f"'{different[0]}' differs by {worst:.2g} of its largest value, first at {layer}; "
        "please report this network, and write that layer in another way"
    )


def difference(wanted: Tensor, found: Tensor) -> float:
    """The largest one, as a share of the largest value; of whole numbers, the share of those that differ."""
    if wanted.shape != found.shape:
        return float("inf")
    if not wanted.is_floating_point():
        return float((wanted != found).double().mean())
    a, b = wanted.double(), found.double()
    unequal = (a - b).abs()[~((a == b) | (a.isnan() & b.isnan()))]
    if not len(unequal):
        return 0.0
    return float((unequal.max() / a.abs().max().clamp(min=1e-30)).nan_to_num(nan=math.inf))


def _first_that_differs(graph: fx.GraphModule, network: nn.Module, planes: Sequence[Tensor]) -> str:
    """The first layer of the network, in the order of the graph, whose output the graph does not have."""
    ours: dict[str, Tensor] = {}

    class Noting(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            result = super().run_node(n)
            if n.meta.get("layer") and isinstance(result, Tensor):
                ours[n.meta["layer"]] = result  # the last node of a layer is what it returns
            return result

    with _outputs_of_layers(network) as theirs, evaluated(network), torch.no_grad():
        network(*(x.clone() for x in planes))
        Noting(graph).run(*planes)
    for name, value in ours.items():
        if name in theirs and difference(theirs[name], value) > TOLERANCE:
            return f"layer {name}"
    return "an operator outside of layers"


@contextmanager
def _outputs_of_layers(network: nn.Module) -> Iterator[dict[str, Tensor]]:
    """What modules without modules in them return, a copy of the first call of each."""
    found: dict[str, Tensor] = {}
    called: set[str] = set()

    def note(name: str) -> Any:
        def hook(_: nn.Module, __: Any, result: Any) -> None:
            if isinstance(result, Tensor) and name not in called:
                found[name] = result.clone()
            elif name in called:
                found.pop(name, None)  # of several calls it is not clear which a node is
            called.add(name)

        return hook

    hooks = [
        module.register_forward_hook(note(name))
        for name, module in network.named_modules()
        if name and not any(True for _ in module.children())
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()
