"""Proof that a captured graph computes what the network computes, in float, on a batch of images."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from xvision.graph.answers import answers
from xvision.graph.exported import evaluated
from xvision.graph.planes import as_float32

TOLERANCE = 1e-3
"""Of the largest value: what folding batch norms and another order of sums may change, with room."""
IMAGES = 8


class Trial(NamedTuple):
    """Images, and what the network makes of them."""

    planes: tuple[Tensor, ...]
    outputs: dict[str, Any]


def tried(network: nn.Module, example: Sequence[Tensor]) -> list[Trial]:
    """What the network makes of several images, and of one alone, as on a device.

    It runs before it is captured: what it keeps in a cache of functions is then made of numbers.

    Raises: ValueError that names the layer if it does not take such planes, or not one image alone.
    """
    several = as_float32(x[:IMAGES] if len(x) > 1 else x.repeat(2, *[1] * (x.ndim - 1)) for x in example)
    return [Trial(planes, answers(network, planes)) for planes in (several, tuple(x[:1] for x in several))]


def check_same(graph: fx.GraphModule, network: nn.Module, trials: Sequence[Trial]) -> None:
    """Raises: ValueError that names the first layer that differs, if the two give different outputs."""
    for planes, wanted in trials:
        with torch.no_grad():
            found = graph(*planes)
        if len(planes[0]) == 1:  # a squeeze takes off the batch dimension of one image, which a file keeps
            wanted = {name: _in_shape(value, found[name]) for name, value in wanted.items() if name in found}
        different = [name for name in found if difference(wanted[name], found[name]) > TOLERANCE]
        if different:
            raise ValueError(_differs(graph, network, planes, wanted, found, different[0]))


def _in_shape(value: Tensor, like: Tensor) -> Tensor:
    return value.reshape(like.shape) if value.numel() == like.numel() else value


def _differs(
    graph: fx.GraphModule,
    network: nn.Module,
    planes: tuple[Tensor, ...],
    wanted: Mapping[str, Tensor],
    found: Mapping[str, Tensor],
    name: str,
) -> str:
    who = type(network).__name__
    if difference(wanted[name], answers(network, planes)[name]) > 0:
        return (
            f"{who}: expected the same outputs of the same images, '{name}' is another one each time; leave out "
            "what is random in eval mode"
        )
    if len(planes[0]) == 1:
        return (
            f"{who}: expected an image's outputs not to depend on the number of images, '{name}' is another one "
            "for one image alone; write it without branches on the number of images"
        )
    layer = _first_that_differs(graph, network, planes)
    worst = difference(wanted[name], found[name])
    return (
        f"{who}: expected the captured graph to compute what the network computes, output '{name}' differs by "
        f"{worst:.2g} of its largest value, first at {layer}; if that computes in a lower precision (autocast), switch "
        "it off, else write it in another way, and please report it"
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
