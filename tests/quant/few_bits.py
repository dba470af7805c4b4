"""A scheme that loses much without training: powers of two for each tensor, weights and activations of few bits."""

from __future__ import annotations

from xvision.quant.numbers import QuantScheme, TensorQuant
from xvision.quant.rules import KNOWN_RANGES, RULES


def few_bits(*, weights: int = 3, activations: int = 4) -> QuantScheme:
    """Power-of-two scales, symmetric, of few bits."""
    return QuantScheme(
        "few_bits",
        weights=TensorQuant(weights),
        activations=TensorQuant(activations, signed=False),
        bias=TensorQuant(32),
        heads=TensorQuant(16),
        rules=RULES,
        known_ranges=KNOWN_RANGES,
        tolerance_lsb=0,
    )
