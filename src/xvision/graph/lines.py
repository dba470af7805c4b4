"""Networks of lines, such as audio and time series, as networks of maps of one row: one set of operators for both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import fx
from torch._ops import OpOverloadPacket

from xvision.graph.operators import FUNCTIONS, arguments, aten, packet
from xvision.graph.simplify import constant, make_constant

ROW = 2
"""The dimension that a line (B, C, L) gets as a map (B, C, 1, L)."""

WINDOWS = {"kernel_size": 1, "stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "output_size": 1}
"""What a window has along the one row."""
ON_MAPS: dict[OpOverloadPacket, OpOverloadPacket] = {
    aten.conv1d: aten.conv2d,
    aten.conv_transpose1d: aten.conv_transpose2d,
    aten.max_pool1d: aten.max_pool2d,
    aten.avg_pool1d: aten.avg_pool2d,
    aten.adaptive_avg_pool1d: aten.adaptive_avg_pool2d,
}
OF_EACH_VALUE = {
    "relu", "relu6", "hardtanh", "clamp", "hardswish", "hardsigmoid", "sigmoid", "silu", "leaky_relu", "elu", "gelu",
    "tanh", "softplus", "mish", "batch_norm", "add", "sub", "mul",
}  # fmt: skip
"""Operators that give the same of a line and of a map of one row; `batch_norm` has its channels in the same place."""


def lines_as_maps(graph: fx.GraphModule) -> None:
    """Convolutions and pools of lines become those of maps, and what stands between them follows."""
    for node in list(graph.graph.nodes):
        if packet(node) in ON_MAPS:
            _on_map(graph, node)
    for node in list(graph.graph.nodes):
        called = packet(node)
        if called is aten.unsqueeze and node.args[1] == ROW and _is_line(node.args[0]):
            (line,) = node.all_input_nodes
            node.replace_all_uses_with(*line.all_input_nodes)
        elif called is not None and FUNCTIONS.get(called, "") in OF_EACH_VALUE:
            _follow(graph, node)


def _on_map(graph: fx.GraphModule, node: fx.Node) -> None:
    given = arguments(node)
    first, *rest = given  # the line
    source = given[first]
    if source.meta["val"].ndim != 3 or ("weight" in given and constant(graph, given["weight"]) is None):
        return
    settings = {name: _of_map(name, given[name], given) for name in rest}
    with graph.graph.inserting_before(node):
        wide = graph.graph.call_function(aten.unsqueeze.default, (source, ROW))
        if "weight" in given:
            settings["weight"] = graph.graph.call_function(aten.unsqueeze.default, (given["weight"], ROW))
        call = graph.graph.call_function(_overload(node, given), (wide,), settings)
    wide.meta = {**source.meta, "val": source.meta["val"].unsqueeze(ROW)}
    call.meta = {**node.meta, "val": node.meta["val"].unsqueeze(ROW)}
    if "weight" in given:
        make_constant(graph, settings["weight"], constant(graph, given["weight"]).unsqueeze(ROW))  # type: ignore[union-attr]
    _replace_by_line(graph, node, call)


def _of_map(name: str, value: Any, given: Mapping[str, Any]) -> Any:
    if name not in WINDOWS or isinstance(value, str):
        return value
    if name == "stride" and value in ([], None):
        value = given["kernel_size"]
    (along,) = value if isinstance(value, Sequence) else [value]
    return [WINDOWS[name], along]


def _overload(node: fx.Node, given: Mapping[str, Any]) -> Callable[..., Any]:
    found: Any = ON_MAPS[packet(node)]  # type: ignore[index]
    if isinstance(given.get("padding"), str):
        return found.padding  # type: ignore[no-any-return]
    return found.input if found is aten.conv_transpose2d else found.default


def _is_line(value: Any) -> bool:
    """Whether a node is a map of one row without its row."""
    return isinstance(value, fx.Node) and packet(value) is aten.squeeze and value.args[1:] == (ROW,)


def _follow(graph: fx.GraphModule, node: fx.Node) -> None:
    """An operator of each value of lines, on the maps that they come from."""
    shape = node.meta["val"].shape
    lines = [n for n in node.all_input_nodes if n.op != "get_attr"]
    stored = [n for n in node.all_input_nodes if n.op == "get_attr" and packet(node) is not aten.batch_norm]
    if not lines or stored or not all(_is_line(n) and n.meta["val"].shape == shape for n in lines):
        return
    maps = {line: line.args[0] for line in lines}
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda n: maps.get(n, n))
    with graph.graph.inserting_before(node):
        call = graph.graph.call_function(node.target, args, kwargs)  # type: ignore[arg-type]
    call.meta = {**node.meta, "val": node.meta["val"].unsqueeze(ROW)}
    _replace_by_line(graph, node, call)


def _replace_by_line(graph: fx.GraphModule, node: fx.Node, of_map: fx.Node) -> None:
    with graph.graph.inserting_before(node):
        line = graph.graph.call_function(aten.squeeze.dim, (of_map, ROW))
    line.meta = dict(node.meta)
    node.replace_all_uses_with(line)
    graph.graph.erase_node(node)
