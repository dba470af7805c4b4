"""Capture of a network as a graph of module calls, with torch.fx.

`trace` gives the graph that training, cost counting and surgery work on: same parameters, same names, usable
in train and in eval mode.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import DropBlock2d, DropPath, Linear, get_notrace_functions, get_notrace_modules
from torch import fx, nn

IN_PLACE = (operator.iadd, operator.isub, operator.imul, operator.itruediv)


class _Proxy(fx.Proxy):
    """fx takes `y += x` for `y = y + x`, but whatever else is called y sees it too."""

    def __iadd__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})

    def __isub__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.isub, (self, other), {})

    def __imul__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.imul, (self, other), {})

    def __itruediv__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.itruediv, (self, other), {})


class Tracer(fx.Tracer):
    """Symbolic tracer that keeps whole what cannot be, or need not be, looked into.

    Leaves are torch's own modules, the modules that timm declares untraceable (they branch on shapes), random
    depth and block dropping (they branch on the mode), timm's own linear layer, and modules that say `is_leaf`.
    `inputs` names the tensors that a ``*planes`` argument stands for; `forward` replaces the root's forward.
    """

    def __init__(self, inputs: Sequence[str] = (), forward: Callable[..., Any] | None = None) -> None:
        super().__init__(autowrap_functions=tuple(get_notrace_functions()))
        self._leaves = (*get_notrace_modules(), DropPath, DropBlock2d, Linear)
        self._inputs = tuple(inputs)
        self._forward = forward

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        own = getattr(module, "is_leaf", False)
        return own or isinstance(module, self._leaves) or super().is_leaf_module(module, qualified_name)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        fn = self._forward or root_fn
        if not self._inputs:
            return super().create_args_for_root(fn, is_module, concrete_args)
        planes = [self.create_proxy("placeholder", name, (), {}) for name in self._inputs]
        return fn, [self.root, *planes]


def input_names(module: nn.Module) -> tuple[str, ...]:
    """Names of the planes that a model of ours takes, of all its streams; empty for other modules, whose signature
    says it."""
    return tuple(plane.name for part in module.children() for plane in getattr(part, "planes", ()))


def trace(module: nn.Module, *, forward: Callable[..., Any] | None = None) -> fx.GraphModule:
    """The graph of a network as a module that computes the same, with the same parameters, named the same.

    The graph shares the modules of `module` and works in train and eval mode; modules it does not use are
    left out, so every parameter gets a gradient. `forward(module, *inputs)` replaces the module's forward,
    for instance to return intermediate levels.

    Raises: ValueError if the network branches on its data.
    """
    try:
        graph = Tracer(input_names(module) if forward is None else (), forward).trace(module)
    except (fx.proxy.TraceError, TypeError) as error:
        raise ValueError(
            f"{type(module).__name__}: expected a network whose layers do not depend on the data, but it "
            f"cannot be captured as a graph ({error}); write it without branches on tensors, or choose another"
        ) from error
    traced = fx.GraphModule(module, graph, type(module).__name__)
    _dropouts_follow_the_mode(traced)
    _read_what_was_written(traced)
    traced.graph.eliminate_dead_code()
    traced.delete_all_unused_submodules()
    traced.recompile()
    traced.train(module.training)
    return traced


def _read_what_was_written(traced: fx.GraphModule) -> None:
    """Let who reads a tensor after it was changed in place depend on that change, even where its result is not used."""
    position = {node: i for i, node in enumerate(traced.graph.nodes)}
    modules = dict(traced.named_modules(remove_duplicate=False))
    for node in traced.graph.nodes:
        written = node.args[0] if node.args else node.kwargs.get("input")
        if isinstance(written, fx.Node) and _in_place(node, modules):
            written.replace_all_uses_with(node, lambda user, at=node: position[user] > position[at])  # type: ignore[misc]


def _in_place(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return bool(getattr(modules[str(node.target)], "inplace", False))
    if node.op == "call_function" and "inplace" in (known := _parameters(node.target)):
        return bool(node.kwargs.get("inplace", dict(zip(known, node.args, strict=False)).get("inplace")))
    name = str(node.target) if node.op == "call_method" else getattr(node.target, "__name__", "")
    return node.target in IN_PLACE or (name.endswith("_") and not name.endswith("__"))


def _parameters(function: Any) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(function).parameters)
    except ValueError:  # written in C
        return ()


def _dropouts_follow_the_mode(traced: fx.GraphModule) -> None:
    """Functional dropout has the mode of the capture baked in: make it a module."""
    for node in list(traced.graph.nodes):
        if node.op != "call_function" or node.target not in (F.dropout, F.dropout2d, torch.dropout):
            continue
        p = node.args[1] if len(node.args) > 1 else node.kwargs.get("p", 0.5)
        dropout = nn.Dropout2d(p) if node.target is F.dropout2d else nn.Dropout(p)
        traced.add_submodule(node.name, dropout)
        with traced.graph.inserting_after(node):
            call = traced.graph.call_module(node.name, (node.args[0] if node.args else node.kwargs["input"],))
        node.replace_all_uses_with(call)
        traced.graph.erase_node(node)
