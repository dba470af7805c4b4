"""What a batch norm that was folded would still do: hold mean and deviation of each channel while weights change.

A batch norm that keeps its statistics up to date gives every channel the mean and deviation that its own parameters
say, whatever becomes of the weights before it. Folded it is gone, and with it the second convolution that quantized
training beside a batch norm needs. What it held can be measured, though: mean and deviation of the layer's outputs
before the training. Each step then moves gain and bias of a channel by a share `momentum` of what its last batch was
off. Written for here; compare the batch norm of the original system, which is folded anew at each step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn

from xvision.quant.fake import QuantLayer
from xvision.train.balancing.gradients import mean_over_processes

NAME = "held"
LEAST = 1e-6


class Held(nn.Module):
    """Mean and deviation (2, C) of a layer's outputs: those to hold, and those of the last batch."""

    wanted: Tensor
    seen: Tensor

    def __init__(self, moments: Tensor) -> None:
        super().__init__()
        self.register_buffer("wanted", moments)
        self.register_buffer("seen", moments.clone())


def hold_norms(graph: fx.GraphModule, batches: Iterable[tuple[Tensor, ...]]) -> None:
    """Measure what is to be held, on images, and watch it during training; in place."""
    sums: dict[QuantLayer, list[Tensor]] = {layer: [] for layer in _convolutions(graph)}
    hooks = [
        layer.register_forward_hook(lambda layer, _, y: sums[layer].append(_moments(y))) for layer in sums
    ]
    with torch.no_grad():
        for planes in batches:
            graph(*planes)
    for hook in hooks:
        hook.remove()
    for layer, found in sums.items():
        layer.add_module(NAME, Held(torch.stack(found).mean(0)))
        layer.register_forward_hook(_watch)


def release_norms(graph: fx.GraphModule) -> None:
    """Undo `hold_norms`; gains and biases stay as they are."""
    for layer in _convolutions(graph):
        if hasattr(layer, NAME):
            delattr(layer, NAME)
            layer._forward_hooks.clear()


@torch.no_grad()
def correct_norms(graph: nn.Module, momentum: float) -> None:
    """Move gains and biases towards what is held; what was seen is averaged over all processes."""
    layers = [layer for layer in _convolutions(graph) if hasattr(layer, NAME)]
    if not layers:
        return
    held: list[Any] = [getattr(layer, NAME) for layer in layers]
    together = mean_over_processes(torch.cat([one.seen for one in held], dim=1))
    seen = torch.split(together, [one.seen.shape[1] for one in held], dim=1)
    for layer, one, (mean, deviation) in zip(layers, held, seen, strict=True):
        gain = (one.wanted[1].clamp_min(LEAST) / deviation.clamp_min(LEAST)) ** momentum
        layer.weight.mul_(_of_outputs(layer, gain))
        layer.bias.copy_((layer.bias - mean) * gain + mean + momentum * (one.wanted[0] - mean))
        one.seen.copy_(one.wanted)


def _convolutions(graph: nn.Module) -> Iterator[QuantLayer]:
    """Layers that had a batch norm behind them, or might have had; grouped transposed ones are left out."""
    for layer in graph.modules():
        if isinstance(layer, QuantLayer) and layer.kind == "conv":
            yield layer


def _of_outputs(layer: QuantLayer, gain: Tensor) -> Tensor:
    return gain.reshape(-1, *[1] * (layer.weight.ndim - 1))


def _moments(y: Tensor) -> Tensor:
    variance, mean = torch.var_mean(y.detach(), dim=(0, 2, 3), correction=0)
    return torch.stack([mean, variance.sqrt()])


def _watch(layer: nn.Module, _: Any, y: Tensor) -> None:
    if layer.training:
        held: Any = getattr(layer, NAME)
        held.seen.copy_(_moments(y))
