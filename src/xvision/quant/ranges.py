"""Search of scales: which range costs the least, rounding inside it and saturation outside it taken together."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor, fx

from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.numbers import TensorQuant
from xvision.quant.ops import steps

HALVINGS = 4  # powers of two tried below the largest value
GRID = 100  # free scales tried
BINS = 4096


def candidates(largest: float, step_count: int, power_of_two: bool) -> list[float]:
    """Scales to try for a tensor whose largest magnitude is `largest` and that has `step_count` steps up to it.

    >>> candidates(0.9, 128, True)
    [0.0078125, 0.00390625, 0.001953125, 0.0009765625]
    """
    largest = largest or 1.0  # a tensor of zeros
    if power_of_two:
        top = 2.0 ** math.ceil(math.log2(largest))
        return [top * 2.0**-k / step_count for k in range(HALVINGS)]
    return [largest * (1 - k / GRID) / (step_count - 1) for k in range(GRID * 3 // 4)]


class Range:
    """What is observed of one lattice: smallest and largest value, then a histogram between them."""

    def __init__(self) -> None:
        self.low = math.inf
        self.high = -math.inf
        self.counts: Tensor | None = None

    def widen(self, x: Tensor) -> None:
        low, high = torch.aminmax(x)
        self.low, self.high = min(self.low, float(low)), max(self.high, float(high))

    def count(self, x: Tensor) -> None:
        counts = torch.histc(x.float(), BINS, self.low, self.high).double().cpu()
        self.counts = counts if self.counts is None else self.counts + counts

    def best_scale(self, numbers: TensorQuant) -> tuple[float, int]:
        """Scale and zero point of least squared error."""
        counts = self.counts
        assert counts is not None
        if not numbers.symmetric:
            raise ValueError(
                "scheme: expected symmetric activations, came asymmetric ones; no search for them yet"
            )
        zero_point = 0 if self.low >= 0 else numbers.middle
        largest = max(-self.low, self.high)
        width = (self.high - self.low) / BINS
        centers = self.low + width * (torch.arange(BINS, dtype=torch.float64) + 0.5)
        low, high = numbers.low - zero_point, numbers.high - zero_point

        def error(scale: float) -> float:
            s = torch.tensor(scale, dtype=torch.float64)
            return float((counts * (steps(centers, s, low, high) * s - centers) ** 2).sum())

        # on a tie the wider range wins: it saturates later
        return min(candidates(largest, high + 1, numbers.power_of_two), key=error), zero_point


def observe(graph: fx.GraphModule, batches: Iterable[tuple[Tensor, ...]]) -> dict[Quantizer, Range]:
    """Run the calibration batches twice, for ranges and for histograms, and say what each open quantizer saw."""
    ranges = {m: Range() for m in graph.modules() if isinstance(m, Quantizer) and not m.ready}
    batches = list(batches)
    for look in (Range.widen, Range.count):
        hooks = [
            quantizer.register_forward_pre_hook(lambda _, args, seen=seen, look=look: look(seen, args[0]))
            for quantizer, seen in ranges.items()
        ]
        with torch.no_grad():
            for planes in batches:
                graph(*planes)
        for hook in hooks:
            hook.remove()
    return ranges


def set_weight_scale(layer: QuantLayer) -> None:
    """Choose the scale of a layer's weights by least squared error, for the tensor or for each channel."""
    numbers, weight = layer.numbers, layer.weight.detach()
    rows = weight.reshape(layer.weight_scale.numel(), -1).double()
    best = []
    for row in rows:
        tried = candidates(float(row.abs().max()), numbers.high + 1, numbers.power_of_two)
        errors = [
            float(((steps(row, torch.tensor(s), numbers.low, numbers.high) * s - row) ** 2).sum())
            for s in tried
        ]
        best.append(tried[errors.index(min(errors))])
    layer.set_weight_scale(torch.tensor(best).reshape(layer.weight_scale.shape))
