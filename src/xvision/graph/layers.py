"""Convolutions and linear layers with stored weights, as modules: these are what quantization gives integer weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from torch import Tensor, fx, nn

from xvision.graph.operators import Layer, PaddedConv2d, arguments, aten, packet
from xvision.graph.simplify import constant, free_path, store, tidy

OPERATORS = (aten.conv2d, aten.conv_transpose2d, aten.linear, aten.matmul)
Kind = TypeVar("Kind", bound=Layer)


def make_layers(graph: fx.GraphModule) -> None:
    """Replace each call of a convolution or linear operator whose weights are stored by a module of its own."""
    paths = {
        node: node.meta.get("layer") or node.name
        for node in graph.graph.nodes
        if packet(node) in OPERATORS and _is_stored(graph, node)
    }
    above = {parent for path in paths.values() for parent in parents(path)}
    for node, path in paths.items():
        layer, source = _layer(graph, node)
        if path in above:  # written as a function beside layers
            path = f"{path}.{node.name}"
        path = free_path(graph, path)
        graph.add_submodule(path, layer)
        with graph.graph.inserting_before(node):
            call = graph.graph.call_module(path, (source,))
        call.meta = dict(node.meta)
        node.replace_all_uses_with(call)
        graph.graph.erase_node(node)


def make_operators(graph: fx.GraphModule, nodes: Iterable[fx.Node]) -> None:
    """The opposite of `make_layers` for those of the nodes that call a layer: they stay in float."""
    for node in nodes:
        if node.op != "call_module":
            continue
        layer, source = graph.get_submodule(str(node.target)), node.args[0]
        if not isinstance(layer, Layer):
            continue
        with graph.graph.inserting_before(node):
            stored = [
                None if values is None else store(graph, f"{node.name}_{key}", values)
                for key, values in (("weight", layer.weight), ("bias", layer.bias))
            ]
            if isinstance(layer, PaddedConv2d):
                source = graph.graph.call_function(aten.constant_pad_nd.default, (source, list(layer.pad)))
            call = graph.graph.call_function(*_operator(layer, [source, *stored]))
        call.meta = dict(node.meta)
        call.meta["layer"] = str(node.target)
        node.replace_all_uses_with(call)
        graph.graph.erase_node(node)
        call.name = node.name
    tidy(graph)


def _operator(layer: Layer, operands: list[Any]) -> tuple[Any, tuple[Any, ...]]:
    """The operator that computes a layer of these operands, and its arguments."""
    if isinstance(layer, nn.Linear):
        return aten.linear.default, tuple(operands)
    window = list(layer.stride), list(layer.padding)
    if isinstance(layer, nn.ConvTranspose2d):
        more = (list(layer.output_padding), layer.groups, list(layer.dilation))
        return aten.conv_transpose2d.input, (*operands, *window, *more)
    return aten.conv2d.default, (*operands, *window, list(layer.dilation), layer.groups)


def parents(path: str) -> list[str]:
    """The modules that a module is in, by their paths.

    >>> parents("layer1.0.conv1")
    ['layer1', 'layer1.0']
    """
    parts = path.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def _is_stored(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether the weights of an operator, and its bias if it has one, are stored; those of a product are a matrix."""
    given = arguments(node)
    if packet(node) is aten.matmul:
        matrix = constant(graph, given["other"])
        return matrix is not None and matrix.ndim == 2
    bias = given["bias"]
    return constant(graph, given["weight"]) is not None and (
        bias is None or constant(graph, bias) is not None
    )


def _layer(graph: fx.GraphModule, node: fx.Node) -> tuple[Layer, fx.Node]:
    """The layer that a node computes, and what it reads."""
    called, given = packet(node), arguments(node)
    if called is aten.matmul:
        matrix = constant(graph, given["other"])
        assert matrix is not None
        return linear(matrix.mT, None), given["self"]
    weight, bias = constant(graph, given["weight"]), constant(graph, given["bias"])
    assert weight is not None
    if called is aten.linear:
        return linear(weight, bias), given["input"]
    if called is aten.conv_transpose2d:
        return _transposed(weight, bias, given), given["input"]
    return _convolution(weight, bias, given, node)


def linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    outputs, inputs = weight.shape
    return _filled(nn.Linear(inputs, outputs, bias is not None, device="meta"), weight, bias)


def _transposed(weight: Tensor, bias: Tensor | None, given: dict[str, Any]) -> nn.ConvTranspose2d:
    inputs, outputs, *kernel = weight.shape
    groups = given["groups"]
    made = nn.ConvTranspose2d(
        inputs, outputs * groups, _two(kernel), _two(given["stride"]), _two(given["padding"]),
        _two(given["output_padding"]), groups, bias is not None, _two(given["dilation"]), device="meta",
    )  # fmt: skip
    return _filled(made, weight, bias)


def _convolution(
    weight: Tensor, bias: Tensor | None, given: dict[str, Any], node: fx.Node
) -> tuple[Layer, fx.Node]:
    outputs, inputs, *kernel = weight.shape
    stride, dilation, groups = _two(given["stride"]), _two(given["dilation"]), given["groups"]
    source = given["input"]
    if isinstance(given["padding"], str):
        pad = _named_padding(given["padding"], kernel, dilation)
    else:
        down, across = _two(given["padding"])
        pad = (across, across, down, down)
    before = _zeros_around(source)
    if before is not None and len(source.users) == 1:
        pad = tuple(a + b for a, b in zip(pad, before, strict=True))
        source = source.args[0]
    left, right, top, bottom = pad
    kind = nn.Conv2d if left == right and top == bottom else PaddedConv2d
    padding = (top, left) if kind is nn.Conv2d else (0, 0)
    made = kind(
        inputs * groups, outputs, _two(kernel), stride, padding, dilation, groups, bias is not None, device="meta"
    )  # fmt: skip
    if isinstance(made, PaddedConv2d):
        made.pad = (left, right, top, bottom)
    return _filled(made, weight, bias), source


def _filled(layer: Kind, weight: Tensor, bias: Tensor | None) -> Kind:
    layer.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone())
    layer.eval()
    return layer


def _two(value: int | list[int]) -> tuple[int, int]:
    values = [value] if isinstance(value, int) else list(value)
    first, second = values * 2 if len(values) == 1 else values
    return first, second


def _named_padding(name: str, kernel: list[int], dilation: tuple[int, int]) -> tuple[int, ...]:
    """That of `padding="same"`: the odd pixel on the right and bottom."""
    if name == "valid":
        return (0, 0, 0, 0)
    (height, width), (down, across) = kernel, dilation
    vertical, horizontal = down * (height - 1), across * (width - 1)
    return (horizontal // 2, horizontal - horizontal // 2, vertical // 2, vertical - vertical // 2)


def _zeros_around(node: Any) -> tuple[int, int, int, int] | None:
    """The padding (left, right, top, bottom) of a node that adds zeros around a map."""
    if not isinstance(node, fx.Node) or packet(node) not in (aten.pad, aten.constant_pad_nd):
        return None
    given = arguments(node)
    pad = [*given["pad"], 0, 0][:4] if len(given["pad"]) <= 4 else None
    if pad is None or given.get("mode", "constant") != "constant" or given["value"] not in (None, 0):
        return None
    left, right, top, bottom = pad
    return (left, right, top, bottom) if all(isinstance(p, int) and p >= 0 for p in pad) else None
