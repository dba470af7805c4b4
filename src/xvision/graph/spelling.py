"""Operators that torch has several names for, by one of them, and division in a form that has no undefined value."""

from __future__ import annotations

import operator as python

import torch
from torch import Tensor, fx

from xvision.graph.operators import arguments, aten, packet

SAME_AS = {
    aten.subtract: aten.sub,
    aten.multiply: aten.mul,
    aten.divide: aten.div,
    aten.true_divide: aten.div,
    aten.negative: aten.neg,
    aten.clip: aten.clamp,
    aten.concat: aten.cat,
    aten.concatenate: aten.cat,
}
LARGEST = {aten.max: (aten.amax, aten.maximum), aten.min: (aten.amin, aten.minimum)}
TINY = 2.0**-64
"""In place of a divisor of 0: what is not 0 goes beyond every range, 0 stays 0."""


def quotient(x: Tensor, divisor: Tensor) -> Tensor:
    """x / divisor; one that was rounded to 0 would make 0 / 0, which is no number and any code in a runtime.

    >>> quotient(torch.tensor([3.0, 0.0]), torch.tensor([2.0, 0.0]))
    tensor([1.5000, 0.0000])
    """
    return x / torch.where(divisor == 0, TINY, divisor)


def plain_names(graph: fx.GraphModule) -> None:
    """Squares are products, and the largest values along an axis, if their places are not asked for, have no places."""
    for node in list(graph.graph.nodes):
        called = packet(node)
        if called in SAME_AS:
            node.target = getattr(SAME_AS[called], node.target._overloadname)
        elif called is aten.square or (called is aten.pow and node.args[1] == 2):
            node.target, node.args, node.kwargs = aten.mul.Tensor, (node.args[0], node.args[0]), {}
        elif called is aten.div and _are_computed(node):
            node.target = quotient
        elif called in LARGEST:
            _largest(graph, node)


def _are_computed(node: fx.Node) -> bool:
    """Whether both sides of a true division depend on the images."""
    sides = [arg for arg in node.args if isinstance(arg, fx.Node) and arg.op != "get_attr"]
    return len(sides) == 2 and arguments(node).get("rounding_mode") is None


def _largest(graph: fx.GraphModule, node: fx.Node) -> None:
    along, of_two = LARGEST[packet(node)]  # type: ignore[index]
    given = arguments(node)
    if "other" in given:
        node.target = of_two.default
    elif "dim" in given and all(user.target is python.getitem and user.args[1] == 0 for user in node.users):
        for user in list(node.users):
            user.target, user.args = along.default, (given["self"], [given["dim"]], given["keepdim"])
