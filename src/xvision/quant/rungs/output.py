"""Scales of a layer's input and of its weights, found together by the error of what the layer gives.

The error of a tensor says little of what becomes of it: values that a layer hardly weighs may saturate, and the errors
of input and weights add up. So both are tried in pairs, layer by layer, each layer with inputs as the integer network
has them: powers of two t 2^-k of the largest value (as Habi et al., HPTQ, 2021, who go by the error of each tensor), of
free scales a grid. A clip after the layer counts: what it cuts off needs no precision.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, fx

from xvision.graph.operators import clip_bounds
from xvision.quant.calibration import take
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.fitting import Fitting
from xvision.quant.layerwise import Stepper, batches_that_fit
from xvision.quant.observer import range_candidates, weight_candidates
from xvision.quant.rungs import rung

FREE = 8
"""Free scales that are tried of the input, and of the weights."""

Clip = tuple[float, float] | None


@rung
def output(fitting: Fitting, *, num_samples: Annotated[int, Field(ge=1)] = 32) -> None:
    """Scales of input and weights of least error of each layer's output, on `num_samples` of the fitted images.

    An input that several layers read gets the scale that is best for the first of them.
    """
    graph, modules = fitting.graph, dict(fitting.graph.named_modules(remove_duplicate=False))
    batches = batches_that_fit(graph, take(fitting.fitted, num_samples))
    search = Search(fitting)
    quantized = [Stepper(graph, planes) for planes in batches]
    originals = [Stepper(fitting.reference, planes) for planes in batches]
    with torch.no_grad():
        for node, counterpart in zip(graph.graph.nodes, fitting.reference.graph.nodes, strict=True):
            layer = modules.get(str(node.target)) if node.op == "call_module" else None
            targets = [original.step(counterpart) for original in originals]
            if isinstance(layer, QuantLayer):
                source = node.all_input_nodes[0]
                search.choose(
                    layer, [one.env[source] for one in quantized], targets, clip_after(node, modules)
                )
                for one in quantized:
                    one.env[source] = layer.source(one.env[source])
            for one in quantized:
                one.step(node)


def clip_after(node: fx.Node, modules: dict[str, torch.nn.Module]) -> Clip:
    """The bounds of the clip that is part of a layer, as it alone reads what the layer gives."""
    users = list(node.users)
    return clip_bounds(users[0], modules) if len(users) == 1 else None


class Search:
    """The scales of layers and their inputs; inputs are open until a layer has read them."""

    def __init__(self, fitting: Fitting) -> None:
        self.ranges: dict[Quantizer, tuple[list[float], int]] = {}
        for layer in fitting.quant_layers().values():
            self._open(layer.source, fitting)

    def _open(self, source: Quantizer, fitting: Fitting) -> None:
        name = next(name for name, module in fitting.graph.named_modules() if module is source)
        if source in self.ranges or name not in fitting.seen:
            return
        seen = fitting.seen[name]
        tried, zero_point = range_candidates(seen.low, seen.high, source.numbers)
        as_it_was = float(source.scale)
        scales = [float(torch.tensor(float(one))) for one in spread_out(tried)]
        self.ranges[source] = ([*scales, *([as_it_was] if as_it_was not in scales else [])], zero_point)
        source.reopen()

    def choose(self, layer: QuantLayer, inputs: list[Tensor], targets: list[Tensor], clip: Clip) -> None:
        """Set the scale of the weights, and that of the input if it is still open."""
        source = layer.source
        scales, zero_point = self.ranges.get(source, ([float(source.scale)], int(source.zero_point)))
        if source.ready:
            scales = [float(source.scale)]
        best, chosen = float("inf"), (scales[0], layer.weight_scale.clone())
        for scale in scales:
            source.set_range(scale, zero_point)
            error, of_weights = self._best_weights(layer, [source(x) for x in inputs], targets, clip)
            if error < best:  # on a tie the wider range stays
                best, chosen = error, (scale, of_weights)
        source.set_range(chosen[0], zero_point)
        layer.set_weight_scale(chosen[1])

    @staticmethod
    def _best_weights(
        layer: QuantLayer, inputs: list[Tensor], targets: list[Tensor], clip: Clip
    ) -> tuple[float, Tensor]:
        """The least error, and the scale of the weights that has it, for the layer or for each channel."""
        per_channel, weight = layer.weight_scale.ndim == 1, layer.weight.detach().abs()
        largest = weight.flatten(1).amax(1) if per_channel else weight.amax()
        tried = torch.stack([one.float() for one in spread_out(weight_candidates(layer, largest))])
        errors = torch.zeros(len(tried), len(layer.bias), dtype=torch.float64)
        for i, scale in enumerate(tried):
            layer.set_weight_scale(scale)
            for x, target in zip(inputs, targets, strict=True):
                errors[i] += of_channels(layer, clipped(layer(x), clip) - clipped(target, clip)).cpu()
        if not per_channel:
            total = errors.sum(1)
            return float(total.min()), tried[total.argmin()]
        least, at = errors.min(0)
        return float(least.sum()), tried.gather(0, at[None].to(tried.device)).squeeze(0)


def spread_out(tried: Sequence[Tensor]) -> Sequence[Tensor]:
    """At most `FREE` of the candidates, from the widest on."""
    return tried[:: -(-len(tried) // FREE)]


def clipped(x: Tensor, clip: Clip) -> Tensor:
    return x if clip is None else x.clamp(*clip)


def of_channels(layer: QuantLayer, difference: Tensor) -> Tensor:
    """The squared error of each output channel, in double."""
    channel = difference.ndim - 1 if layer.kind == "linear" else 1
    others = [axis for axis in range(difference.ndim) if axis != channel]
    return difference.double().square().sum(others)
