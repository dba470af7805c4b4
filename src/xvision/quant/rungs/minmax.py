"""Ranges from the smallest to the largest value."""

from __future__ import annotations

from xvision.quant.fake import QuantLayer
from xvision.quant.fitting import Fitting, Ranges
from xvision.quant.numbers import TensorQuant
from xvision.quant.observer import HistogramObserver, range_candidates, weight_candidates
from xvision.quant.rungs import rung


@rung
def minmax(fitting: Fitting) -> None:
    """Ranges from the smallest to the largest value of tensors and weights: nothing saturates."""
    fitting.find_ranges(Ranges(widest, set_widest_scale))


def widest(seen: HistogramObserver, numbers: TensorQuant) -> tuple[float, int]:
    """Scale and zero point of a tensor of which nothing saturates."""
    tried, zero_point = range_candidates(seen.low, seen.high, numbers)
    return float(tried[0]), zero_point


def set_widest_scale(layer: QuantLayer) -> None:
    """The scale of weights, of the layer or of each channel, of which none saturates."""
    weight = layer.weight.detach().abs().reshape(layer.weight_scale.numel(), -1)
    largest = weight.amax(1).reshape(layer.weight_scale.shape)
    layer.set_weight_scale(weight_candidates(layer, largest)[0].float())
