"""Ranges that leave out the rarest values."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field

from xvision.quant.fitting import Fitting, Ranges
from xvision.quant.numbers import TensorQuant
from xvision.quant.observer import BINS, HistogramObserver, range_candidates, set_weight_scale
from xvision.quant.rungs import rung


@rung
def percentile(fitting: Fitting, *, percent: Annotated[float, Field(gt=50, le=100)] = 99.99) -> None:
    """Ranges of tensors between two percentiles, those of weights of least squared error.

    On each side the rarest (100 - `percent`) % of the values saturate.
    """

    def of_tensor(seen: HistogramObserver, numbers: TensorQuant) -> tuple[float, int]:
        tried, zero_point = range_candidates(*between(seen, percent), numbers)
        return float(tried[0]), zero_point

    fitting.find_ranges(Ranges(of_tensor, set_weight_scale))


def between(seen: HistogramObserver, percent: float) -> tuple[float, float]:
    """The values that `percent` % of all are not below, and not above: outer edges of their bins."""
    assert seen.counts is not None
    width = (seen.high - seen.low) / BINS
    share = seen.counts.cumsum(0) / seen.counts.sum()
    rare = torch.tensor(1 - percent / 100, dtype=share.dtype)
    first = int(torch.searchsorted(share, rare, right=True))
    last = int(torch.searchsorted(share, 1 - rare))
    return seen.low + first * width, seen.low + min(last + 1, BINS) * width
