"""Weights far beyond the others of their layer, clipped so that they do not cost the others their bits."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST = 15.0
"""A layer whose largest weight is below this is left alone."""
TIMES_MEDIAN = 16.0
"""Weights larger than this times the median magnitude are clipped."""
SHARE = 120 / 128
"""Of the power of two above: what is kept of it, so that rounding does not saturate."""


def clipped(weight: Tensor) -> Tensor:
    """The weights within +-L, just below the power of two above 16 times their median magnitude.

    Source: the constraint on weights of TI's jacinto-ai-devkit, quantization-aware training, applied once at its start.
    """
    magnitude = weight.detach().abs()
    largest, limit = magnitude.max(), TIMES_MEDIAN * magnitude.median()
    if largest <= LEAST or largest <= limit:
        return weight
    bound = SHARE * 2.0 ** torch.ceil(torch.log2(limit.clamp(min=1e-30)))
    return weight.detach().clamp(-bound, bound)
