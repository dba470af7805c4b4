"""What a network costs, counted before anything is trained.

Multiply-accumulates (MACs) are those of convolutions, transposed convolutions, linear layers and matrix
products, at batch 1, without bias; batch norm counts as folded into its convolution.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from xvision.graph.shapes import in_eval_mode, note_shapes
from xvision.graph.trace import trace


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
    """Count the MACs and parameters of a model for an image of `size`; it is not changed.

    A model of ours runs on the planes that it takes, another one on (1, C, H, W) floats, C being what
    its first convolution takes. A module that runs twice is one row with the sum.

    Raises: ValueError if the network branches on its data.
    """
    with in_eval_mode(model):
        graph = trace(model)
        note_shapes(graph, *_inputs(model, size))
    layers: dict[str, Layer] = {}
    for node in graph.graph.nodes:
        name = _layer(node)
        if name is None:
            continue
        before = layers.get(name)
        module = model.get_submodule(name)
        params = sum(p.numel() for p in module.parameters(recurse=node.op == "call_module"))
        shape = tuple(node.meta.get("shape", ())[1:])
        macs = node.meta["macs"] + (before.macs if before else 0)
        layers[name] = Layer(name, type(module).__name__, shape, macs, params)
    return Cost(
        sum(layer.macs for layer in layers.values()),
        sum(p.numel() for p in model.parameters()),
        tuple(layers.values()),
    )


def _layer(node: fx.Node) -> str | None:
    """The module whose row a node counts in: the layer that it calls, or what holds its product or parameter."""
    if node.op == "call_module":
        return str(node.target)
    if node.op == "get_attr":
        return str(node.target).rpartition(".")[0]
    if node.meta.get("macs"):
        around: dict[str, object] = node.meta.get("nn_module_stack") or {"": None}
        return [*around][-1]
    return None


def _inputs(model: nn.Module, size: tuple[int, int]) -> tuple[Tensor, ...]:
    inputs = getattr(model, "inputs", None)
    if inputs is not None:
        return tuple(inputs.example(size, device="meta"))
    channels = next((m.in_channels for m in model.modules() if isinstance(m, nn.Conv2d)), 3)
    return (torch.empty(1, channels, *size, device="meta"),)
