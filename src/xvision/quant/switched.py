"""A quantized network whose numbers are switched to float and back, place by place.

Two graphs with the same nodes stand side by side, the quantized network and its float original; each node is computed
by one of them. So nothing is copied, nothing captured again, and weights that a method has fitted are switched back
to those that they were fitted from.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from xvision.models.pixels import Pixels
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.findings import Kind
from xvision.quant.layerwise import Stepper

Outputs = dict[str, Tensor]


@dataclass(frozen=True)
class Site:
    """One place where numbers are rounded: the weights of a layer, or the tensors on one quantization grid."""

    kind: Kind
    name: str
    nodes: tuple[fx.Node, ...]
    """Those of the layer, or of the quantizer."""
    layers: tuple[str, ...]
    readers: tuple[str, ...]
    bits: int


class Switched:
    """A quantized network of which some places compute in float.

    `original` is its float network in the form that `prepare` gives, on the same device.

    Raises: ValueError if the two are not forms of one network.
    """

    def __init__(self, quantized: fx.GraphModule, original: fx.GraphModule) -> None:
        self.quantized = quantized
        self._original = dict(original.named_modules())
        _check_same(quantized, original)
        self.sites = tuple(_sites(quantized))
        self.macs = _macs(quantized)
        self._in_float: frozenset[fx.Node] = frozenset()

    @contextmanager
    def in_float(self, sites: Iterable[Site]) -> Iterator[None]:
        """These places compute in float meanwhile, and all others in integers."""
        before, self._in_float = self._in_float, nodes_of(sites)
        try:
            yield
        finally:
            self._in_float = before

    def __call__(self, *planes: Tensor) -> Outputs:
        """The outputs as places are switched now, without gradients."""
        return _Walk(self, planes, self._in_float).finish(list(self.quantized.graph.nodes))

    def each(
        self, planes: Sequence[Tensor], mode: Literal["alone", "without"]
    ) -> Iterator[tuple[Site | None, Outputs]]:
        """For each place the outputs with it alone in integers, or with all but it; then those without exception.

        What comes before a place is the same for all places after it and is computed once: half of the work.
        """
        all_sites = nodes_of(self.sites)
        walk = _Walk(self, planes, all_sites if mode == "alone" else frozenset())
        nodes = list(self.quantized.graph.nodes)
        for i, node in enumerate(nodes):
            for site in self.sites:
                if site.nodes[0] is node:
                    yield site, walk.but(frozenset(site.nodes)).finish(nodes[i:])
            outputs = walk.advance(node)
        yield None, outputs

    def float_module(self, node: fx.Node) -> nn.Module:
        """What computes a node in float."""
        module: nn.Module = self._original[str(node.target)]
        return module


class _Walk(Stepper):
    """One batch on its way through both graphs."""

    def __init__(self, switched: Switched, planes: Sequence[Tensor], in_float: frozenset[fx.Node]) -> None:
        super().__init__(switched.quantized, planes)
        self._switched = switched
        self._in_float = in_float

    def run_node(self, n: fx.Node) -> Any:
        if n not in self._in_float:
            return super().run_node(n)
        args, _ = self.fetch_args_kwargs_from_env(n)
        module = self._switched.float_module(n)
        if isinstance(module, Quantizer):
            return args[0].float()  # exact sums come in 64 bits
        return module(*args)

    def but(self, switched: frozenset[fx.Node]) -> _Walk:
        """Another walk from here on, with some nodes the other way."""
        other = copy.copy(self)
        other.env = dict(self.env)
        other._in_float = self._in_float ^ switched
        return other

    def advance(self, node: fx.Node) -> Any:
        with torch.no_grad():
            return self.step(node)

    def finish(self, nodes: Sequence[fx.Node]) -> Outputs:
        for node in nodes:
            last = self.advance(node)
        outputs: Outputs = last
        return outputs


def nodes_of(sites: Iterable[Site]) -> frozenset[fx.Node]:
    """The nodes of some places."""
    return frozenset(node for site in sites for node in site.nodes)


def _check_same(quantized: fx.GraphModule, original: fx.GraphModule) -> None:
    ours, theirs = ([(n.op, n.name, str(n.target)) for n in g.graph.nodes] for g in (quantized, original))
    shapes, theirs_shapes = (
        {name: tuple(m.weight.shape) for name, m in g.named_modules() if isinstance(m, QuantLayer)}
        for g in (quantized, original)
    )
    if ours != theirs or shapes != theirs_shapes:
        raise ValueError(
            f"sensitivity: expected a quantized network and the float network that it was made from, got others "
            f"({len(ours)} and {len(theirs)} operators in plain form); give both of one run and one input size, made "
            "without rungs that change the network's form"
        )


def _sites(graph: fx.GraphModule) -> Iterator[Site]:
    """In the order of the network; the pixels, which lose nothing, are none."""
    modules = dict(graph.named_modules())
    nodes: dict[str, list[fx.Node]] = {}
    for node in graph.graph.nodes:
        if node.op == "call_module" and isinstance(modules[str(node.target)], Quantizer | QuantLayer):
            nodes.setdefault(str(node.target), []).append(node)
    for path, called in nodes.items():
        module = modules[path]
        if isinstance(module, QuantLayer):
            yield Site("weights", path, tuple(called), (path,), (path,), module.numbers.bits)
        elif isinstance(module, Quantizer) and not any(_has_pixels(node, modules) for node in called):
            sources = [node.all_input_nodes[0] for node in called]
            layers = dict.fromkeys(name for source in sources for name in _layers(source, modules))
            readers = dict.fromkeys(
                reader_name(user) for node in called for user in node.users if _macs_of(user)
            )
            name = path.removeprefix("quantizers.")
            yield Site("activations", name, tuple(called), tuple(layers), tuple(readers), module.numbers.bits)


def _layers(node: fx.Node, modules: dict[str, nn.Module]) -> Iterator[str]:
    """What a plan may call the tensor that a node gives: its layer, or the one whose clip it is."""
    fused = [
        n for n in node.all_input_nodes if not isinstance(modules.get(str(n.target)), Quantizer | Pixels)
    ]
    for one in (node, *fused):
        if name := str(one.target) if one.op == "call_module" else str(one.meta.get("layer") or ""):
            yield name


def _has_pixels(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    source = node.all_input_nodes[0]
    return source.op == "call_module" and isinstance(modules[str(source.target)], Pixels)


def reader_name(node: fx.Node) -> str:
    """A layer by its path, a product of two tensors by the name of its node."""
    return str(node.target) if node.op == "call_module" else node.name


def _macs_of(node: fx.Node) -> int:
    return int(node.meta.get("macs", 0))


def _macs(graph: fx.GraphModule) -> dict[str, int]:
    """Of one image, by reader."""
    batch = graph.meta["inputs"][0][0][0]  # a graph is captured with the first batch of images
    found: dict[str, int] = {}
    for node in graph.graph.nodes:
        if macs := _macs_of(node):
            found[reader_name(node)] = found.get(reader_name(node), 0) + macs // batch
    return found
