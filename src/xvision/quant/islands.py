"""What a quantized network computes in float, between two integer tensors: operators without a rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import getitem

from torch import fx

from xvision.graph.operators import operator
from xvision.graph.plain import FACTORIES


@dataclass(frozen=True)
class FloatOperator:
    """An operator that stays in float, and its share of the network's multiply-accumulates."""

    operator: str
    name: str
    macs_ratio: float = 0.0
    layer: str = ""

    def __str__(self) -> str:
        share = f", {self.macs_ratio:.1%} of the MACs" if self.macs_ratio else ""
        return f"{self.operator} ({self.name}{share})"


def float_operators(graph: fx.GraphModule, nodes: Sequence[fx.Node]) -> list[FloatOperator]:
    """Those of the nodes that compute something of an image: a tensor of zeros to begin with is none."""
    modules = dict(graph.named_modules(remove_duplicate=False))
    total = sum(node.meta.get("macs", 0) for node in graph.graph.nodes) or 1
    found = [(operator(node, modules), node) for node in nodes]
    return [
        FloatOperator(kind, node.name, node.meta.get("macs", 0) / total, node.meta.get("layer") or "")
        for kind, node in found
        if kind not in FACTORIES
    ]


def check_all_named(found: Sequence[FloatOperator], named: Callable[[str], bool]) -> None:
    """Raise ValueError for operators in float whose layers are not `named` as such."""
    unnamed = [one for one in found if not named(one.layer)]
    if unnamed:
        first = unnamed[0]
        raise ValueError(
            f"layer {first.layer or first.name}: expected operators that have an integer form "
            f"(quant.float_operators=refuse), got {first.operator} ({len(unnamed)} such operators in all); replace it, "
            f"or leave the layer in float (quant.layers={first.layer or first.name}:float)"
        )


def given_by_floats(graph: fx.GraphModule) -> frozenset[str]:
    """The tensors that operators in float give and a quantizer rounds, by name."""
    names = {one.name for one in graph.meta["float_operators"]}

    def made_by(node: fx.Node) -> str:
        return made_by(node.all_input_nodes[0]) if node.target is getitem else node.name

    return frozenset(node.name for node in graph.graph.nodes if made_by(node) in names)


def listed(found: Sequence[FloatOperator]) -> str:
    """Kinds with their number, and the share of multiply-accumulates of all.

    >>> listed([FloatOperator("softmax", "a"), FloatOperator("softmax", "b"), FloatOperator("bmm", "c", 0.25)])
    'softmax (2), bmm (1): 25.0% of the MACs'
    >>> listed([])
    ''
    """
    if not found:
        return ""
    kinds = dict.fromkeys(one.operator for one in found)
    counts = ", ".join(f"{kind} ({sum(one.operator == kind for one in found)})" for kind in kinds)
    return f"{counts}: {sum(one.macs_ratio for one in found):.1%} of the MACs"
