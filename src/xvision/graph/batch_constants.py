"""What depends on the number of images alone, as masks and positions do, is the same for each: one, repeated."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from xvision.graph.operators import aten, packet
from xvision.graph.simplify import attribute, follows, store

LIKE = {aten.zeros_like, aten.ones_like, aten.full_like, aten.new_zeros, aten.new_ones, aten.new_full}
"""What takes only shape and type of a tensor."""
ROWS = 2
"""Images with which to try what depends on their number."""


def fold_batch_constants(graph: fx.GraphModule) -> None:
    """Compute that of one image at once."""
    images = next(node for node in graph.graph.nodes if node.op == "placeholder")
    batch = str(images.meta["val"].shape[0])
    values: dict[fx.Node, Any] = {}
    with torch.no_grad():
        for node in graph.graph.nodes:
            if node.op == "get_attr":
                values[node] = attribute(graph, str(node.target))
                continue
            if packet(node) is aten.sym_size and str(node.meta["val"]) == batch:
                values[node] = ROWS
                continue
            known = {**values, **_empty(node, batch)} if packet(node) in LIKE else values
            if follows(node, known):
                args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n, known=known: known[n])  # type: ignore[misc]
                values[node] = node.target(*args, **kwargs)
    for node, value in values.items():
        if node.op == "get_attr" or not isinstance(value, Tensor) or not value.ndim:
            continue
        if str(node.meta["val"].shape[0]) == batch and any(user not in values for user in node.users):
            _repeat(graph, node, value, images)


def _empty(node: fx.Node, batch: str) -> dict[fx.Node, Tensor]:
    """In place of what a node takes shape and type of, a tensor for `ROWS` images, if only its batch is free."""
    like: Any = node.args[0]
    value = like.meta["val"]
    sizes = [ROWS if str(size) == batch else size for size in value.shape]
    if not all(isinstance(size, int) for size in sizes):
        return {}
    return {like: torch.empty(sizes, dtype=value.dtype, device=value.device)}


def _repeat(graph: fx.GraphModule, node: fx.Node, value: Tensor, images: fx.Node) -> None:
    row, *others = value
    if not all(torch.equal(row, other) for other in others):
        return
    with graph.graph.inserting_before(node):
        stored = store(graph, node.name, row[None].clone())
        count = graph.graph.call_function(aten.sym_size.int, (images, 0))
        rows = graph.graph.call_function(aten.expand.default, (stored, [count, *row.shape]))
    count.meta["val"], rows.meta = images.meta["val"].shape[0], dict(node.meta)
    node.replace_all_uses_with(rows)
