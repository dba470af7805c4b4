"""Nodes put into a graph and taken out of it."""

from __future__ import annotations

from torch import fx, nn


def insert_module(graph: fx.GraphModule, after: fx.Node, path: str, module: nn.Module) -> fx.Node:
    """Call `module`, stored at `path`, on the output of `after`, for all users of that output."""
    graph.add_submodule(path, module)
    with graph.graph.inserting_after(after):
        call = graph.graph.call_module(path, (after,))
    after.replace_all_uses_with(call, delete_user_cb=lambda user: user is not call)
    if "shape" in after.meta:
        call.meta["shape"] = after.meta["shape"]
    return call


def bypass(node: fx.Node) -> None:
    """Take a node out of the graph: its users get its first input."""
    source = node.args[0] if node.args else node.kwargs["input"]
    assert isinstance(source, fx.Node)
    node.replace_all_uses_with(source)
    node.graph.erase_node(node)
