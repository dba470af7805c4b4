"""Outlier channels split in two: each half needs half the range.

A channel that is there twice, with half its weight in the layer that takes it, gives the same sum; or with half its
weights in the layer that gives it, where half a value passes what lies between as half a value. The largest weights
then need half the range, for some more arithmetic. Source: Zhao et al., Improving Neural Network Quantization without
Retraining using Outlier Channel Splitting, ICML 2019, section 3; a half is rounded like any weight here.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, fx

from xvision.quant.fake import QuantLayer
from xvision.quant.fitting import Fitting
from xvision.quant.observer import power_of_two_above
from xvision.quant.regions import (
    Region,
    copies_pass,
    largest_of_inputs,
    largest_of_outputs,
    regions,
    scales_pass,
)
from xvision.quant.rungs import rung

PAYS_RATIO = 0.8
"""Of a free range: what splitting must leave of it at most."""


@rung
def split_channels(fitting: Fitting, *, max_ratio: Annotated[float, Field(gt=0, le=0.5)] = 0.05) -> None:
    """Outlier channels between two layers become two halves where that makes the range of weights smaller.

    At most `max_ratio` of a layer's channels are split. The float function stays as it is; the network gets larger.
    """
    graphs = (fitting.graph, fitting.reference)
    for passes, halve_source in ((copies_pass, False), (scales_pass, True)):
        for region in regions(fitting.reference, passes):
            split = _outliers(region, fitting.reference, halve_source, max_ratio)
            if len(split):
                for graph in graphs:
                    _split(region, graph, split, halve_source)
                for graph in graphs:
                    _note_shapes(graph, region, fitting.reference, len(split))
    fitting.find_ranges_again()


def _pair(region: Region, graph: fx.GraphModule) -> tuple[QuantLayer, QuantLayer] | None:
    """The layer that gives a region and the one that takes it, where these two are all, and neither has groups."""
    if len(region.sources) != 1 or len(region.sinks) != 1 or region.sources == region.sinks:
        return None
    source, sink = (graph.get_submodule(name) for name in (region.sources[0], region.sinks[0]))
    assert isinstance(source, QuantLayer)
    assert isinstance(sink, QuantLayer)
    plain = all(
        layer.kind in ("conv", "linear") and layer.options.get("groups", 1) == 1 for layer in (source, sink)
    )
    return (source, sink) if plain else None


def _outliers(region: Region, graph: fx.GraphModule, of_source: bool, max_ratio: float) -> Tensor:
    """The channels to split, largest first; none where that does not pay."""
    none = torch.tensor([], dtype=torch.long)
    pair = _pair(region, graph)
    if (
        pair is None or pair[0 if of_source else 1].weight_scale.ndim
    ):  # a scale for each channel needs no splitting
        return none
    largest = largest_of_outputs(pair[0]) if of_source else largest_of_inputs(pair[1])
    ordered, order = largest.sort(descending=True)
    number = int(max_ratio * len(order))
    if number == 0 or ordered[0] == 0:
        return none
    limit = ordered[0] / 2
    number = min(number, int((ordered > limit).sum()))
    before, after = ordered[0], torch.maximum(ordered[number], limit)
    if pair[0].numbers.power_of_two:
        pays = bool(power_of_two_above(after) < power_of_two_above(before))
        number = int((ordered > power_of_two_above(after)).sum()) if pays else 0
    else:
        pays = bool(after < PAYS_RATIO * before)
    return order[:number] if pays else none


def _split(region: Region, graph: fx.GraphModule, split: Tensor, halve_source: bool) -> None:
    pair = _pair(region, graph)
    assert pair is not None
    source, sink = pair
    given, bias, taken = source.weight.detach(), source.bias.detach(), sink.weight.detach()
    given, bias = torch.cat((given, given[split])), torch.cat((bias, bias[split]))
    taken = torch.cat((taken, taken[:, split]), 1)
    first, again = split, torch.arange(len(source.bias), len(bias))
    for halved in (given, bias) if halve_source else (taken.transpose(0, 1),):
        halved[first] /= 2
        halved[again] /= 2
    for name, layer, weight, own in (
        (region.sources[0], source, given, bias),
        (region.sinks[0], sink, taken, sink.bias.detach()),
    ):
        made = QuantLayer(layer.form, weight, own, layer.source)
        made.weight_scale.copy_(_of_channels(layer.weight_scale, made.weight_scale))
        graph.set_submodule(name, made.train(layer.training))


def _of_channels(scale: Tensor, wanted: Tensor) -> Tensor:
    """A scale as a layer with more channels wants it; it is found again afterwards."""
    return scale if scale.shape == wanted.shape else scale.amax().expand(wanted.shape)


def _note_shapes(graph: fx.GraphModule, region: Region, of: fx.GraphModule, more: int) -> None:
    """The new number of channels in the notes of the graph."""
    inside = dict(zip(of.graph.nodes, graph.graph.nodes, strict=True))
    for node in (inside[n] for n in region.inside):
        batch, channels, *rest = node.meta["shape"]
        node.meta["shape"] = (batch, channels + more, *rest)
