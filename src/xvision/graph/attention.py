"""Attention as the operators that it is made of: two products, which have integers, and softmax, which has none.

softmax(q k' / sqrt(d)) v  (Vaswani et al., "Attention Is All You Need", NeurIPS 2017, section 3.2.1).
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload

from xvision.graph.operators import arguments, aten, packet


def plain_attention(graph: fx.GraphModule) -> None:
    """Write out `scaled_dot_product_attention`; with a mask of truth values, or of the order, it stays."""
    for node in list(graph.graph.nodes):
        if packet(node) is not aten.scaled_dot_product_attention:
            continue
        given = arguments(node)
        q, k, v, mask = (given[key] for key in ("query", "key", "value", "attn_mask"))
        if given["is_causal"] or given["enable_gqa"] or given["dropout_p"]:
            continue
        if mask is not None and not mask.meta["val"].is_floating_point():
            continue
        scale = given["scale"] or 1 / math.sqrt(int(q.meta["val"].shape[-1]))
        with graph.graph.inserting_before(node):
            scaled = _call(graph, node, aten.mul.Tensor, q, float(scale))
            turned = _call(graph, node, aten.transpose.int, k, -2, -1)
            scores = _call(graph, node, aten.matmul.default, scaled, turned)
            if mask is not None:
                scores = _call(graph, node, aten.add.Tensor, scores, mask)
            weights = _call(graph, node, aten.softmax.int, scores, -1)
            result = _call(graph, node, aten.matmul.default, weights, v)
        node.replace_all_uses_with(result)
        graph.graph.erase_node(node)


def _call(graph: fx.GraphModule, node: fx.Node, target: OpOverload, *args: Any) -> fx.Node:
    """A call in place of a node, whose value has the shape that follows."""
    made = graph.graph.call_function(target, args)
    values = [arg.meta["val"] if isinstance(arg, fx.Node) else arg for arg in args]
    with torch.no_grad():
        made.meta = {**node.meta, "val": target(*values)}
    return made
