"""Operators that change a tensor in place, as operators that make a new one.

A ReLU in place at the start of a branch changes what the shortcut beside it reads: whoever reads the tensor later gets
the new one.
"""

from __future__ import annotations

import operator as python

from torch import fx
from torch._ops import OpOverload

from xvision.graph.operators import arguments, aten, packet


def make_out_of_place(graph: fx.GraphModule) -> bool:
    """Replace each operator in place, in a graph just exported.

    False where the memory that is written to is read later under another name, as a part or in another shape: that is
    for torch's own functionalization, which is slower.
    """
    position = {node: i for i, node in enumerate(graph.graph.nodes)}
    owner: dict[fx.Node, fx.Node] = {}  # the tensor whose memory a node's value is in
    for node in graph.graph.nodes:
        owner[node] = owner[node.args[0]] if node.target is python.getitem else node
        if not isinstance(node.target, OpOverload):
            continue
        written: list[fx.Node] = []
        for i, argument in enumerate(node.target._schema.arguments):
            value = node.args[i] if i < len(node.args) else node.kwargs.get(argument.name)
            if argument.alias_info is None or value is None:
                continue
            if not isinstance(value, fx.Node):
                return False
            if argument.alias_info.is_write:
                written.append(value)
            else:
                owner[node] = owner[value]
        for value in written:
            later = [n for n, memory in owner.items() if memory is owner[value] and n is not value]
            if any(_is_read_after(n, node, position) for n in later):
                return False
            now = position[node]
            value.replace_all_uses_with(node, lambda user, now=now: position[user] > now)  # type: ignore[misc]
        if written and not _replace(node):
            return False
    return True


def whole_batch_norms(graph: fx.GraphModule) -> None:
    """Batch norm as one operator with one result again, after torch's own functionalization."""
    for node in list(graph.graph.nodes):
        if packet(node) is not aten._native_batch_norm_legit_no_training:
            continue
        given = arguments(node)
        keys = ("input", "weight", "bias", "running_mean", "running_var")
        with graph.graph.inserting_before(node):
            whole = graph.graph.call_function(
                aten.batch_norm.default,
                (*(given[key] for key in keys), False, given["momentum"], given["eps"], False),
            )
        for part in list(node.users):
            whole.meta = dict(node.meta) | {"val": part.meta["val"]}
            part.replace_all_uses_with(whole)
            graph.graph.erase_node(part)
        graph.graph.erase_node(node)


def _is_read_after(node: fx.Node, writer: fx.Node, position: dict[fx.Node, int]) -> bool:
    return node is not writer and any(position[user] > position[writer] for user in node.users)


def _replace(node: fx.Node) -> bool:
    assert isinstance(node.target, OpOverload)
    name = node.target._schema.name.partition("::")[2].removesuffix("_")
    packet = getattr(aten, name, None)
    target = getattr(packet, node.target._overloadname, None)
    if target is None:
        return False
    node.target = target
    return True
