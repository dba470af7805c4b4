"""What a network costs, counted before anything is trained.

Multiply-accumulates (MACs) are those of convolutions, transposed convolutions, linear layers and matrix
products, at batch 1, without bias; batch norm counts as folded into its convolution. The network runs once
without memory or arithmetic (torch's meta device); it is not changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from xvision.graph.shapes import run_on_meta


@dataclass(frozen=True)
class Layer:
    """One row of the cost table: a module that ran, in the order of its first run."""

    name: str
    type: str
    output: tuple[int, ...]  # shape, batch left out
    macs: int
    params: int


@dataclass(frozen=True)
class Cost:
    """What one image costs, and how many parameters the model holds."""

    macs: int
    params: int
    layers: tuple[Layer, ...]


def count(model: nn.Module, size: tuple[int, int]) -> Cost:
    """Count the MACs and parameters of a model for an image of `size`.

    A model of ours runs on the planes that it takes, another one on (1, C, H, W) floats, C being what
    its first convolution takes. A module that runs twice is one row with the sum.
    """
    counter = _Counter()
    with _hooks(model, counter), counter:
        run_on_meta(model, *_inputs(model, size))
    modules = dict(model.named_modules())
    params = {
        name: sum(p.numel() for p in modules[name].parameters(recurse=False)) for name in counter.outputs
    }
    layers = tuple(
        Layer(name, type(modules[name]).__name__, output, counter.macs.get(name, 0), params[name])
        for name, output in counter.outputs.items()
        if name in counter.macs or params[name] or not any(modules[name].children())
    )
    return Cost(sum(counter.macs.values()), sum(p.numel() for p in model.parameters()), layers)


def _inputs(model: nn.Module, size: tuple[int, int]) -> tuple[Tensor, ...]:
    inputs = getattr(model, "inputs", None)
    if inputs is not None:
        return tuple(inputs.example(size, device="meta"))
    channels = next((m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d)), 3)
    return (torch.empty(1, channels, *size, device="meta"),)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds every operator's MACs to the module that runs it; torch's own table gives flops, two per MAC."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.running: list[str] = []
        self.macs: dict[str, int] = {}
        self.outputs: dict[str, tuple[int, ...]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        flops: Callable[..., int] | None = flop_registry.get(func.overloadpacket)
        if flops is not None:
            name = self.running[-1] if self.running else ""
            self.macs[name] = self.macs.get(name, 0) + flops(*args, **(kwargs or {}), out_val=out) // 2
        return out


@contextmanager
def _hooks(model: nn.Module, counter: _Counter) -> Iterator[None]:
    """While active, `counter` knows which module runs and what it returns."""

    def start(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any) -> None:
            counter.running.append(name)
            counter.outputs.setdefault(name, ())

        return hook

    def stop(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            counter.running.pop()
            tensors = [t for t in tree_leaves(output) if isinstance(t, Tensor)]
            counter.outputs[name] = tuple(tensors[0].shape[1:]) if tensors else ()

        return hook

    handles = []
    for name, module in model.named_modules():
        handles += [module.register_forward_pre_hook(start(name)), module.register_forward_hook(stop(name))]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
