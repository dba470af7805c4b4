"""What does nothing leaves a captured graph, what is known becomes a constant, and shapes keep the batch free."""

from __future__ import annotations

import copy
import operator as python
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._ops import OpOverload

from xvision.graph.exported import CONSTANTS, keep
from xvision.graph.operators import FUNCTIONS, aten, packet
from xvision.graph.surgery import bypass

ALIASES = {
    *(aten.dropout, aten.feature_dropout, aten.alpha_dropout, aten.feature_alpha_dropout),
    *(aten.dropout_, aten.feature_dropout_, aten.alpha_dropout_, aten.feature_alpha_dropout_),
    *(aten.detach, aten.detach_, aten.alias, aten.lift_fresh),
}
"""In evaluation the input itself."""
COPIES = {aten.clone, aten.contiguous, aten.lift_fresh_copy}
"""The input, in memory of its own where nothing is written in place."""
CASTS = {aten.to, aten._to_copy, aten.type_as}
"""Between precisions they do nothing: all is in float32."""
SAME_IF_EQUAL = {aten.to, aten._to_copy, aten.expand, aten.expand_as, aten.slice, aten.flatten, aten.type_as}
SAME_IF_EQUAL |= {one for one, name in FUNCTIONS.items() if name == "reshape"}
"""The input if nothing about it changes: type and shape are enough to tell."""


def drop_aliases(graph: fx.GraphModule) -> None:
    for node in list(graph.graph.nodes):
        if packet(node) in ALIASES:
            bypass(node)


def drop_identities(graph: fx.GraphModule) -> None:
    """Copies, and changes of shape or type that change nothing."""
    for node in list(graph.graph.nodes):
        called = packet(node)
        if called in COPIES or _changes_nothing(node):
            bypass(node)
        elif called is aten.copy and _alike(node, node.all_input_nodes[-1]):
            node.replace_all_uses_with(node.all_input_nodes[-1])
            graph.graph.erase_node(node)


def _changes_nothing(node: fx.Node) -> bool:
    called = packet(node)
    if called not in SAME_IF_EQUAL and called not in CASTS:
        return False
    source = node.all_input_nodes[0]
    return _alike(node, source) or (called in CASTS and _both_float(node, source))


def _both_float(node: fx.Node, source: fx.Node) -> bool:
    a, b = node.meta.get("val"), source.meta.get("val")
    return isinstance(a, Tensor) and isinstance(b, Tensor) and a.is_floating_point() and b.is_floating_point()


def _alike(node: fx.Node, source: fx.Node) -> bool:
    a, b = node.meta.get("val"), source.meta.get("val")
    return isinstance(a, Tensor) and isinstance(b, Tensor) and a.dtype == b.dtype and same_shape(a, b)


def same_shape(a: Tensor, b: Tensor) -> bool:
    """Whether two shapes are the same for any batch size: as text, since a free size equals that of the example."""
    return str(tuple(a.shape)) == str(tuple(b.shape))


def drop_checks(graph: fx.GraphModule) -> None:
    """Assertions about shapes and types, which have been made."""
    for node in reversed(list(graph.graph.nodes)):
        name = getattr(node.target, "__name__", "")
        if node.op == "call_function" and not node.users and ("assert" in name or "constrain" in name):
            graph.graph.erase_node(node)


def keep_leaves(graph: fx.GraphModule, network: nn.Module) -> None:
    """Call modules that say `is_leaf` as a whole, in place of the operators in them."""
    leaves = {name: m for name, m in network.named_modules() if getattr(m, "is_leaf", False)}
    inside_of: dict[str, list[fx.Node]] = {}
    paths: dict[str, str] = {}
    for node in graph.graph.nodes:
        for call, path in node.meta.get("calls", {}).items():
            if path in leaves:
                inside_of.setdefault(call, []).append(node)
                paths[call] = path
    for call_name, inside in inside_of.items():
        module = leaves[paths[call_name]]
        path = free_path(graph, paths[call_name])
        sources = {source for node in inside for source in node.all_input_nodes} - set(inside)
        inputs = [node for node in graph.graph.nodes if node in sources and node.op != "get_attr"]
        outputs = [node for node in inside if any(user not in inside for user in node.users)]
        assert len(outputs) == 1, f"{path}: a leaf gives one tensor"
        graph.add_submodule(path, copy.deepcopy(module).eval())
        with graph.graph.inserting_after(outputs[0]):
            call = graph.graph.call_module(path, tuple(inputs))
        call.meta = dict(outputs[0].meta)
        outputs[0].replace_all_uses_with(call)
        for node in reversed(inside):
            graph.graph.erase_node(node)


RESERVED = {*dir(fx.GraphModule(nn.Module(), fx.Graph())), "quantizers", CONSTANTS}


def free_name(name: str) -> str:
    """The name, or one beside it where torch's modules have a method or attribute called so."""
    return f"{name}_" if name in RESERVED else name


def free_path(graph: fx.GraphModule, path: str) -> str:
    """Where a module may be put, as near to `path` as can be: nothing is there, and torch does not use the name."""
    first, dot, rest = path.partition(".")
    path = f"{free_name(first)}{dot}{rest}"
    taken = {name for name, _ in graph.named_modules()}
    while path in taken:
        path += "_again"
    return path


def fold_constants(graph: fx.GraphModule) -> None:
    """Compute at once what follows from parameters alone, as learned weights of a sum or standardised weights do."""
    values: dict[fx.Node, Any] = {}
    with torch.no_grad():
        for node in graph.graph.nodes:
            if node.op == "get_attr":
                values[node] = attribute(graph, str(node.target))
            elif follows(node, values):
                args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: values[n])
                values[node] = node.target(*args, **kwargs)
    for node, value in values.items():
        if node.op != "get_attr" and isinstance(value, Tensor) and any(u not in values for u in node.users):
            make_constant(graph, node, value)


def follows(node: fx.Node, values: dict[fx.Node, Any]) -> bool:
    """Whether what a node computes follows from these values."""
    if node.op != "call_function" or not all(source in values for source in node.all_input_nodes):
        return False
    if isinstance(node.target, OpOverload):
        return torch.Tag.nondeterministic_seeded not in node.target.tags
    return getattr(node.target, "__module__", "") == python.add.__module__  # of sizes, and of tuples


def attribute(graph: fx.GraphModule, path: str) -> Any:
    owner, _, name = path.rpartition(".")
    return getattr(graph.get_submodule(owner), name)


def make_constant(graph: fx.GraphModule, node: fx.Node, value: Tensor) -> fx.Node:
    """Let all users of a node read a stored tensor."""
    with graph.graph.inserting_before(node):
        stored = store(graph, node.name, value)
    stored.meta |= {key: node.meta[key] for key in ("layer", "calls") if key in node.meta}
    node.replace_all_uses_with(stored)
    return stored


def store(graph: fx.GraphModule, name: str, value: Tensor) -> fx.Node:
    """A node that reads a tensor which the graph holds from now on."""
    stored = graph.graph.get_attr(keep(graph, name, value))
    stored.meta["val"] = value
    return stored


def tidy(graph: fx.GraphModule) -> None:
    """Leave out what nothing depends on: nodes, layers and stored tensors."""
    graph.graph.eliminate_dead_code()
    used = {str(node.target) for node in graph.graph.nodes if node.op == "get_attr"}
    stored = [name for name, _ in graph.named_buffers() if name.startswith(f"{CONSTANTS}.")]
    for path in stored:
        if path not in used:
            delattr(graph.get_submodule(CONSTANTS), path.rpartition(".")[2])
    graph.delete_all_unused_submodules()


def constant(graph: fx.GraphModule, what: Any) -> Tensor | None:
    """The tensor that an argument stands for, if it is a stored one."""
    if isinstance(what, fx.Node) and what.op == "get_attr":
        value = attribute(graph, str(what.target))
        return value if isinstance(value, Tensor) else None
    return None


def plain_reshapes(graph: fx.GraphModule) -> None:
    """Write every change of shape as a reshape to given sizes, the first of them free."""
    for node in graph.graph.nodes:
        called = packet(node)
        if called is None or FUNCTIONS.get(called) != "reshape":
            continue
        sizes = node.meta["val"].shape
        if sizes and all(isinstance(size, int) for size in sizes[1:]):
            node.target = aten.reshape.default
            node.args, node.kwargs = (node.args[0], [-1, *map(int, sizes[1:])]), {}
        elif called is aten.view:
            node.target = aten.reshape.default  # copies that make a view possible are left out
