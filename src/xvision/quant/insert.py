"""Where numbers become integers: one quantizer for each tensor, shared by tensors that must have the same lattice.

A quantizer stands after an activation that clips (after addition and ReLU too), never between an operator and its
clip. Two quantizers in a row would make ONNX Runtime invent a third scale, so lattices are shared at the producer.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

from torch import fx, nn

from xvision.graph.canonical import insert_module
from xvision.graph.operators import Layer, clip_bounds, operator
from xvision.models.pixels import STEPS, ZERO_POINT, Pixels
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.numbers import QuantScheme
from xvision.quant.rules import FIXED, rule


@dataclass
class Group:
    """Tensors on one lattice."""

    members: list[fx.Node] = field(default_factory=list)
    head: bool = False


def insert_quantizers(graph: fx.GraphModule, scheme: QuantScheme) -> None:
    """Give every float tensor of a captured, folded graph a quantizer and every layer integer weights, in place.

    Ranges are still to be set: until then the graph computes what it computed before. In `graph.meta` are then
    the `scheme` and the `float_operators`, those without a rule, which compute in float between two lattices.
    """
    modules = dict(graph.named_modules(remove_duplicate=False))
    groups = _groups(graph, modules)
    graph.meta["scheme"] = scheme
    graph.meta["float_operators"] = [
        f"{operator(node, modules)} ({node.name})"
        for node in graph.graph.nodes
        if "shape" in node.meta and _rule(node, modules) == "float"
    ]
    for group in groups:
        quantizer = _quantizer(group, modules, scheme)
        path = f"quantizers.{group.members[0].name}"
        for node in group.members:
            insert_module(graph, node, path, quantizer)
    for node in list(graph.graph.nodes):
        layer = modules.get(str(node.target)) if node.op == "call_module" else None
        if layer is not None and rule(operator(node, modules)) == "layer":
            (source,) = node.all_input_nodes
            lattice = graph.get_submodule(str(source.target))
            assert isinstance(lattice, Quantizer)
            graph.set_submodule(str(node.target), QuantLayer(cast(Layer, layer), scheme, lattice))
    graph.recompile()


def _rule(node: fx.Node, modules: dict[str, nn.Module]) -> str:
    if node.op == "placeholder" or _is_pixels(node, modules):
        return "input"
    if node.op == "get_attr":
        return "constant"
    name = operator(node, modules)
    if node.op == "call_function" and rule(name) == "layer":
        return "float"  # a functional convolution: its weights are computed, not stored
    if rule(name) == "clip" and clip_bounds(node, modules) is None:
        return "float"
    return rule(name)


def _is_pixels(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    return node.op == "call_module" and isinstance(modules[str(node.target)], Pixels)


def _source(node: fx.Node) -> fx.Node:
    """The float tensor that a node takes its values from, through tuples of tensors."""
    source = node.all_input_nodes[0]
    while "shape" not in source.meta:
        source = source.all_input_nodes[0]
    return source


def _groups(graph: fx.GraphModule, modules: dict[str, nn.Module]) -> list[Group]:
    """Which tensors get a quantizer, and which share one."""
    rules = {node: _rule(node, modules) for node in graph.graph.nodes if "shape" in node.meta}
    plain = [node for node, kind in rules.items() if kind == "constant" or _feeds_pixels(node, modules)]
    fused = {node for node, kind in rules.items() if kind in ("layer", "own") and _has_own_clip(node, rules)}
    group_of: dict[fx.Node, Group] = {}
    for node, kind in rules.items():
        if node in fused or node in plain:
            continue
        ties: Iterable[fx.Node] = ()
        if kind == "same" or (kind == "clip" and _source(node) not in fused):
            ties = [_source(node)]
        elif kind == "join":  # the pixels' lattice is given: they keep theirs
            ties = [s for s in node.all_input_nodes if not _is_pixels(s, modules)]
        group = Group([node])
        for other in {id(group_of[t]): group_of[t] for t in ties}.values():
            group.members = other.members + group.members
        for member in group.members:
            group_of[member] = group
    groups = list({id(g): g for g in group_of.values()}.values())
    for group in groups:
        group.head = all(_only_feeds_output(node, group) for node in group.members)
    return groups


def _feeds_pixels(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    return node.op == "placeholder" and any(_is_pixels(user, modules) for user in node.users)


def _has_own_clip(node: fx.Node, rules: dict[fx.Node, str]) -> bool:
    users = list(node.users)
    return len(users) == 1 and rules.get(users[0]) == "clip"


def _only_feeds_output(node: fx.Node, group: Group) -> bool:
    return all(user.op == "output" or user in group.members for user in node.users)


def _quantizer(group: Group, modules: dict[str, nn.Module], scheme: QuantScheme) -> Quantizer:
    """The quantizer of a group; its range is set already where it is known."""
    first = group.members[0]
    if _is_pixels(first, modules):
        quantizer = Quantizer(scheme.activations)
        quantizer.set(1 / STEPS, ZERO_POINT)
        return quantizer
    fixed = [FIXED.get(operator(node, modules)) for node in group.members]
    numbers = scheme.heads if group.head and not any(fixed) else scheme.activations
    quantizer = Quantizer(numbers)
    if fixed[0] is not None and all(rule(operator(node, modules)) == "same" for node in group.members[1:]):
        limit, negative = fixed[0]
        zero_point = numbers.middle if negative else 0
        quantizer.set(limit / (numbers.high - zero_point + 1), zero_point)
    return quantizer
