"""Cross-layer equalization: channels scaled so that layers share the cost of one range for all their weights.

A channel that a layer gives S times as large, and that the layers after it take S times as small, changes nothing in
float where only operators without a scale of their own lie between (`quant.regions`): sums of residual branches
are scaled together with all layers that give and take them, depthwise layers take and give. With one range for the
weights of a layer it moves outliers to where they cost less: S = sqrt(r2 / r1) makes the largest weight r1 that gives
a channel as large as the largest weight r2 that takes it. Source: Nagel et al., Data-Free Quantization, ICCV 2019,
sections 4.1 and A; several layers on a side are taken by their largest weight.

What is different here: a channel never becomes larger than the largest one of its tensor was on calibration images, and
a region is scaled only where that leaves less noise over signal in all: in layers and tensors together, since what one
wins another may lose. Channels are scaled only where that is exact: through ReLU, never through ReLU6, whose cap would
move with each channel. High biases are absorbed only where that is exact too, for any image: through nothing but a
quantizer, into layers without padding. A ReLU is not crossed, since what it cuts off is known of calibration images
alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, fx

from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.fitting import Fitting
from xvision.quant.regions import (
    Region,
    by_channels,
    extremes_of_channels,
    largest_of_inputs,
    largest_of_outputs,
    regions,
    scale_inputs,
    scale_outputs,
    scales_pass,
)
from xvision.quant.rungs import rung


@rung
def equalize(fitting: Fitting, *, sweeps: Annotated[int, Field(ge=1)] = 4) -> None:
    """Cross-layer equalization of weights, with absorption of high biases; the float function stays as it is.

    `sweeps` over all layers. Ranges are then found again as they were before.
    """
    reference, graphs = fitting.reference, (fitting.graph, fitting.reference)
    found = regions(reference, scales_pass)
    inside = {node for region in found for node in _stored(region, reference)}
    extremes = extremes_of_channels(reference, inside, fitting.images)
    seen = [_extremes(region, reference, extremes) for region in found]
    for _ in range(sweeps):
        for i, region in enumerate(found):
            low, high = seen[i]
            largest = torch.maximum(-low, high)
            factors = _factors(region, reference, largest)
            if _noise(region, reference, largest, factors) < _noise(region, reference, largest, 1.0):
                for graph in graphs:
                    _scale(region, graph, factors)
                seen[i] = low * factors, high * factors
    for region, (low, high) in zip(found, seen, strict=True):
        if _is_plain(region, reference):
            for graph in graphs:
                _absorb(region, graph, (low + high) / 2)
    fitting.find_ranges_again()


def _stored(region: Region, graph: fx.GraphModule) -> list[fx.Node]:
    """The tensors of a region as a device holds them: what its quantizers give."""
    return [
        node
        for node in region.inside
        if node.op == "call_module" and isinstance(graph.get_submodule(str(node.target)), Quantizer)
    ]


def _extremes(
    region: Region, graph: fx.GraphModule, found: dict[fx.Node, tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    low, high = zip(*(found[node] for node in _stored(region, graph)), strict=True)
    return torch.stack(low).amin(0), torch.stack(high).amax(0)


def _layers(names: Iterable[str], graph: fx.GraphModule) -> list[QuantLayer]:
    found = [graph.get_submodule(name) for name in names]
    return [layer for layer in found if isinstance(layer, QuantLayer)]


def _factors(region: Region, graph: fx.GraphModule, largest: Tensor) -> Tensor:
    """What each channel is multiplied by; `largest` is its largest magnitude now."""
    given = torch.stack([largest_of_outputs(layer) for layer in _layers(region.sources, graph)]).amax(0)
    taken = torch.stack([largest_of_inputs(layer) for layer in _layers(region.sinks, graph)]).amax(0)
    wanted = (taken / given).sqrt()
    factors = torch.minimum(wanted, largest.amax() / largest)
    useful = (given > 0) & (taken > 0) & (largest > 0)  # a dead channel stays
    return torch.where(useful, factors, 1.0)


def _noise(region: Region, graph: fx.GraphModule, largest: Tensor, factors: Tensor | float) -> float:
    """Noise over signal, but for a constant, of the layers of a region and its tensors (`largest`) with these factors.

    The noise is that of one range for all channels, the signal that of each.
    """
    found = [largest * factors]
    found += [largest_of_outputs(layer) * factors for layer in _layers(region.sources, graph)]
    found += [largest_of_inputs(layer) / factors for layer in _layers(region.sinks, graph)]
    return sum(float(one.amax().square() / one.square().mean()) for one in found)


def _scale(region: Region, graph: fx.GraphModule, factors: Tensor) -> None:
    for layer in _layers(region.sources, graph):
        scale_outputs(layer, factors)
    for layer in _layers(region.sinks, graph):
        scale_inputs(layer, 1 / factors)


def _is_plain(region: Region, graph: fx.GraphModule) -> bool:
    """Whether a constant passes from one layer to the others: nothing between them, and no zeros around them."""
    stored = _stored(region, graph)
    padded = any(
        any(layer.pad) or any(layer.options.get("padding", ())) or layer.kind == "conv_transpose"
        for layer in _layers(region.sinks, graph)
    )
    return len(region.sources) == 1 and len(region.inside) == 1 + len(stored) and not padded


def _absorb(region: Region, graph: fx.GraphModule, constants: Tensor) -> None:
    """Take a constant (C,) from what a layer gives, and give it to the biases of those that take it."""
    (source,) = _layers(region.sources, graph)
    source.bias.detach().sub_(constants)
    for sink in _layers(region.sinks, graph):
        weight = by_channels(sink)
        of_groups = constants.reshape(weight.shape[0], 1, -1, 1)
        sink.bias.detach().add_((weight * of_groups).sum((2, 3)).flatten())
