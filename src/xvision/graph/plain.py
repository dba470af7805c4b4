"""A captured graph as plain values, for a file: its nodes in order, and nothing that has to be run to read them."""

from __future__ import annotations

import operator as python
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import fx, nn
from torch._ops import OpOverload

from xvision.graph.planes import as_float32
from xvision.graph.resize import bilinear
from xvision.graph.spelling import quotient

Plain = dict[str, Any]
NOTES = ("shape", "macs", "layer")
"""What is kept of a node's `meta`."""
SPACES = ("aten", "xvision")  # of torch's operators: those that compute with tensors
FACTORIES = ("arange", "empty", "eye", "full", "ones", "scalar_tensor", "zeros")  # and those that make one
PYTHON: dict[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (
        bilinear, quotient, python.getitem, python.add, python.sub, python.mul, python.floordiv, python.truediv,
        python.mod, python.neg,
    )
}  # fmt: skip
"""What a file may call, and nothing else: it may come from anywhere."""
KINDS: dict[str, type[Any]] = {
    "dtype": torch.dtype,
    "layout": torch.layout,
    "memory_format": torch.memory_format,
}


class Captured(fx.GraphModule):
    """A graph that is pickled with the names of its nodes, and with its `meta`; it takes floats of any precision."""

    def __init__(self, root: nn.Module, graph: fx.Graph, class_name: str = "Captured") -> None:
        super().__init__(root, graph, class_name)
        self.register_forward_pre_hook(_in_float32)

    def __reduce__(self) -> Any:
        return _unpickled, (to_plain(self.graph), dict(self._modules), self.meta, type(self).__name__)


def _in_float32(_: nn.Module, planes: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    return as_float32(planes)


def _unpickled(nodes: list[Plain], modules: dict[str, nn.Module], meta: Plain, name: str) -> Captured:
    root = nn.Module()
    for key, module in modules.items():
        root.add_module(key, module)
    graph = from_plain(nodes, root, name)
    graph.meta.update(meta)
    return graph.eval()


def to_plain(graph: fx.Graph) -> list[Plain]:
    """The nodes of a graph; modules and stored tensors by their paths."""
    return [
        {
            "op": node.op,
            "name": node.name,
            "target": _name_of(node.target),
            "args": _plain(node.args),
            "kwargs": _plain(node.kwargs),
            **{key: _plain(node.meta[key]) for key in NOTES if key in node.meta},
        }
        for node in graph.nodes
    ]


def from_plain(nodes: list[Plain], root: nn.Module, name: str) -> Captured:
    """The graph again, on the modules and tensors of `root`.

    Raises: ValueError for what is no such list.
    """
    graph, made = fx.Graph(), dict[str, fx.Node]()
    try:
        for one in nodes:
            target = _function(one["target"]) if one["op"] == "call_function" else one["target"]
            args, kwargs = _value(one["args"], made), _value(one["kwargs"], made)
            node = graph.create_node(one["op"], target, args, kwargs, one["name"])
            node.meta = {key: _value(one[key], made) for key in NOTES if key in one}
            made[one["name"]] = node
        module = Captured(root, graph, name)
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"graph: expected a list of nodes, it is damaged ({error})") from error
    return module


def _name_of(target: Any) -> str:
    if isinstance(target, OpOverload):
        return str(target)  # such as aten.add.Tensor
    return target if isinstance(target, str) else f"python.{target.__name__}"


def _function(name: str) -> Any:
    space, _, rest = name.partition(".")
    if space == "python":
        return PYTHON[rest]
    if space not in SPACES:
        raise KeyError(name)
    packet, _, overload = rest.rpartition(".")
    function = getattr(getattr(getattr(torch.ops, space), packet), overload)
    kinds = {str(argument.type) for argument in function._schema.arguments}
    if packet not in FACTORIES and not any("Tensor" in kind for kind in kinds):
        raise KeyError(name)  # such as aten.from_file
    return function


def _plain(value: Any) -> Any:
    if isinstance(value, fx.Node):
        return {"node": value.name}
    if isinstance(value, tuple):
        return {"tuple": [_plain(v) for v in value]}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    if isinstance(value, dict):
        return {"dict": {str(k): _plain(v) for k, v in value.items()}}
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return {"float": str(value)}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    for name, kind in KINDS.items():
        if isinstance(value, kind):
            return {name: str(value).removeprefix("torch.")}
    assert value is None or isinstance(value, bool | int | float | str), f"{value}: no plain value"
    return value


def _value(value: Any, made: Mapping[str, fx.Node]) -> Any:
    if isinstance(value, list):
        return [_value(v, made) for v in value]
    if not isinstance(value, dict):
        return value
    ((kind, inside),) = value.items()
    if kind == "node":
        return made[inside]
    if kind == "tuple":
        return tuple(_value(v, made) for v in inside)
    if kind == "dict":
        return {k: _value(v, made) for k, v in inside.items()}
    if kind == "float":
        return float(inside)
    return torch.device(inside) if kind == "device" else getattr(torch, inside)
