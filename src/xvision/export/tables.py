"""Functions of one value as tables of their 256 codes, where a runtime's own function gives others.

Sigmoid, SiLU and their like are computed in float between two integer tensors. A runtime's exponential is not torch's,
so a value that lies near the middle of two codes may become the other one. Each function is compared over all codes, at
the scales it is used with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from xvision.export.integers import REQUANTIZE, code_type, store_code_of_zero
from xvision.graph.operators import operator
from xvision.quant.fake import Quantizer
from xvision.quant.insert import scheme_of

LOOKUP = torch.ops.xvision.lookup.default
TABLE_BITS = 8


@dataclass(frozen=True)
class Function:
    """A node that computes a function of one value, and the quantizers before and after it."""

    node: fx.Node
    before: Quantizer
    after: Quantizer

    def values(self) -> Tensor:
        """What each code of the input stands for."""
        codes = torch.arange(self.before.numbers.low, self.before.numbers.high + 1)
        return (codes - self.before.zero_point.cpu()) * self.before.scale.cpu()

    def __call__(self, x: Tensor) -> Tensor:
        args = fx.map_arg(self.node.args, partial(_in_place, x))
        return self.node.target(*args, **self.node.kwargs)  # type: ignore[operator, no-any-return]

    def table(self) -> Tensor:
        """The codes of the output."""
        return self.after.codes(self(self.values()))


def functions(graph: fx.GraphModule) -> list[Function]:
    """The functions of one value of 8 bits in a quantized graph."""
    scheme, modules = scheme_of(graph), dict(graph.named_modules(remove_duplicate=False))
    found = []
    for node in graph.graph.nodes:
        if node.op != "call_function" or scheme.rule(operator(node, modules)) != "table":
            continue
        before = modules.get(str(node.all_input_nodes[0].target))
        after = modules.get(str(next(iter(node.users)).target))
        if len(node.all_input_nodes) == 1 and isinstance(before, Quantizer) and isinstance(after, Quantizer):
            found.append(Function(node, before, after))
    return [
        one for one in found if (one.before.numbers.bits, one.before.numbers.signed) == (TABLE_BITS, False)
    ]


def side_by_side(found: list[Function]) -> fx.GraphModule:
    """A network of some functions, each of an input of its own, whose outputs are on the grids after them."""
    root, graph = nn.Module(), fx.Graph()
    outputs = {}
    for i, one in enumerate(found):
        store_code_of_zero(one.after)
        root.add_module(f"after{i}", one.after)
        x = graph.placeholder(f"x{i}")
        target: Any = one.node.target
        args = fx.map_arg(one.node.args, partial(_in_place, x))
        y = graph.call_function(target, args, one.node.kwargs)
        grid = [graph.get_attr(f"after{i}.{name}") for name in ("scale", "code_of_zero")]
        limits = one.after.numbers.low, one.after.numbers.high
        outputs[f"y{i}"] = graph.call_function(REQUANTIZE, (y, *grid, *limits, f"y{i}"))
    graph.output(outputs)
    return fx.GraphModule(root, graph)


def _in_place(x: Any, _: fx.Node) -> Any:
    return x


def differing(
    graph: fx.GraphModule, run: Callable[[nn.Module, tuple[Tensor, ...]], Sequence[Mapping[str, Tensor]]]
) -> list[fx.Node]:
    """The functions of which a runtime gives other codes: `run` gives a network's outputs at each of its levels."""
    found = functions(graph)
    if not found:
        return []
    inputs = tuple(one.values().unsqueeze(0) for one in found)
    levels = run(side_by_side(found), inputs)
    return [
        one.node
        for i, one in enumerate(found)
        if any(not torch.equal(one.after.codes(level[f"y{i}"])[0], one.table()) for level in levels)
    ]


def as_tables(graph: fx.GraphModule, nodes: list[fx.Node]) -> None:
    """Look up the codes of these functions, in place of computing them."""
    modules = dict(graph.named_modules(remove_duplicate=False))
    for one in functions(graph):
        if one.node not in nodes:
            continue
        (call,) = one.node.users
        path = str(call.target)
        for quantizer in (one.before, one.after):
            store_code_of_zero(quantizer)
        store = modules[path]
        store.register_buffer("table", one.table().to(code_type(one.after)))
        source = one.node.all_input_nodes[0]
        with graph.graph.inserting_before(call):
            before, after = (
                [graph.graph.get_attr(f"{at}.{name}") for name in ("scale", "code_of_zero")]
                for at in (str(source.target), path)
            )
            table = graph.graph.get_attr(f"{path}.table")
            looked_up = graph.graph.call_function(LOOKUP, (source, table, before, after, one.node.name))
        call.replace_all_uses_with(looked_up)
        graph.graph.erase_node(call)
    graph.graph.eliminate_dead_code()
    graph.recompile()
