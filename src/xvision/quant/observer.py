"""Search of scales: which range costs the least, rounding inside it and saturation outside it taken together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, fx

from xvision.quant.fake import EXACT, Quantizer, QuantLayer
from xvision.quant.numbers import TensorQuant
from xvision.quant.ops import steps

HALVINGS = 4  # powers of two tried below the largest value
FREE_SCALES = 32  # free scales tried, down to half
BINS = 4096


def power_of_two_above(x: Tensor) -> Tensor:
    """The smallest power of two that is not below `x`, exactly.

    >>> power_of_two_above(torch.tensor([0.9, 1.0, 1.1])).tolist()
    [1.0, 1.0, 2.0]
    """
    mantissa, exponent = torch.frexp(x)  # x = mantissa * 2^exponent, mantissa in [0.5, 1)
    return torch.ldexp(torch.ones_like(x), exponent - (mantissa == 0.5).to(exponent.dtype))


def candidates(largest: Tensor, step_count: int, power_of_two: bool) -> list[Tensor]:
    """Scales to try, in double, for tensors whose largest magnitude takes `step_count` steps; widest first.

    >>> candidates(torch.tensor(0.9), 128, True)[:2]
    [tensor(0.0078, dtype=torch.float64), tensor(0.0039, dtype=torch.float64)]
    """
    largest = largest.double()
    largest = torch.where(largest > 0, largest, 1.0)  # a tensor of zeros
    if power_of_two:
        return [power_of_two_above(largest) * 2.0**-k / step_count for k in range(HALVINGS)]
    return [largest * (1 - k / (2 * FREE_SCALES)) / (step_count - 1) for k in range(FREE_SCALES)]


class HistogramObserver:
    """What is seen of the tensors of one quantizer: smallest and largest value, then a histogram between them."""

    def __init__(self) -> None:
        self.low = math.inf
        self.high = -math.inf
        self.counts: Tensor | None = None

    def update_range(self, x: Tensor) -> None:
        low, high = (float(end) for end in torch.aminmax(x))
        if math.isnan(low):  # Python's min would forget it
            low = high = self.low = self.high = math.nan
        self.low, self.high = min(self.low, low), max(self.high, high)

    @property
    def finite(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    def update_histogram(self, x: Tensor) -> None:
        """In int32, which is faster than `torch.histc` and gives the same counts."""
        bins = (x.float() - self.low).mul_(BINS).div_((self.high - self.low) or 1.0).to(torch.int32)
        counts = torch.bincount(bins.clamp_(max=BINS - 1).flatten(), minlength=BINS).double().cpu()
        self.counts = counts if self.counts is None else self.counts + counts

    def best_scale(self, numbers: TensorQuant) -> tuple[float, int]:
        """Scale and zero point of least squared error."""
        counts = self.counts
        assert counts is not None
        tried, zero_point = range_candidates(self.low, self.high, numbers)
        width = (self.high - self.low) / BINS
        centers = self.low + width * (torch.arange(BINS, dtype=torch.float64) + 0.5)
        low, high = numbers.low - zero_point, numbers.high - zero_point

        def error(scale: Tensor) -> float:
            return float((counts * (steps(centers, scale, low, high) * scale - centers) ** 2).sum())

        # on a tie the wider range wins: it saturates later
        return float(min(tried, key=error)), zero_point


def range_candidates(low: float, high: float, numbers: TensorQuant) -> tuple[list[Tensor], int]:
    """Scales to try for a tensor of values from `low` to `high`, widest first, and its zero point."""
    zero_point = numbers.zero_point(low, high)
    highest = numbers.high - zero_point
    if numbers.symmetric:
        largest, step_count = max(-low, high), highest + 1
    else:  # the zero point divides the range as it divides the codes, so one scale fits both sides
        largest, step_count = max(high, 0) - min(low, 0), numbers.high - numbers.low + 1
    return candidates(torch.tensor(largest), step_count, numbers.power_of_two), zero_point


def observe(
    graph: fx.GraphModule,
    batches: Sequence[tuple[Tensor, ...]],
    judged: Sequence[tuple[Tensor, ...]] | None = None,
) -> dict[Quantizer, HistogramObserver]:
    """What each open quantizer sees: the range of all batches, and histograms of those that are `judged` (or of all).

    Raises: ValueError if a tensor is not finite.
    """
    observers = {m: HistogramObserver() for m in graph.modules() if isinstance(m, Quantizer) and not m.ready}
    passes = (
        (HistogramObserver.update_range, batches),
        (HistogramObserver.update_histogram, batches if judged is None else judged),
    )
    for update, some in passes:
        hooks = [
            quantizer.register_forward_pre_hook(lambda _, args, own=own, update=update: update(own, args[0]))
            for quantizer, own in observers.items()
        ]
        with torch.no_grad():
            for planes in some:
                graph(*planes)
        for hook in hooks:
            hook.remove()
        broken = [name for name, m in graph.named_modules() if m in observers and not observers[m].finite]
        if broken:
            raise ValueError(
                f"calibration: expected finite activations, got NaN or infinity at {len(broken)} tensors "
                f"(first: {broken[0].removeprefix('quantizers.')}); check the training and the images"
            )
    return observers


def weight_candidates(layer: QuantLayer, largest: Tensor) -> list[Tensor]:
    """Scales to try for a layer's weights, wide enough for the bias to fit into the accumulator.

    `largest` is the largest weight, of shape () or one for each output channel; so are the scales.
    """
    bias = layer.bias.detach().abs()
    bias = bias if largest.ndim else bias.amax()
    # a bias of a quarter of the exact range leaves the rest for the products
    most = min(EXACT / 4, layer.bias_numbers.high)
    floor = power_of_two_above(bias.double() / most / layer.source.scale)
    tried = candidates(largest, layer.numbers.high + 1, layer.numbers.power_of_two)
    return [torch.where(bias > 0, torch.maximum(scale, floor), scale) for scale in tried]


def set_weight_scale(layer: QuantLayer) -> None:
    """Choose the scale of a layer's weights by least squared error, for the tensor or for each channel."""
    weight = layer.weight.detach().double().reshape(layer.weight_scale.numel(), -1)
    largest = weight.abs().amax(1).reshape(layer.weight_scale.shape)
    tried = torch.stack(weight_candidates(layer, largest)).reshape(-1, len(weight), 1)
    errors = (steps(weight, tried, layer.numbers.low, layer.numbers.high) * tried - weight).square().sum(2)
    best = tried.squeeze(2).gather(0, errors.argmin(0, keepdim=True))
    layer.set_weight_scale(best.reshape(layer.weight_scale.shape).float())
