"""A scheme as somebody would add it, in one file: integers with free scales, as most runtimes on CPUs compute."""

from __future__ import annotations

from typing import Literal

from xvision.quant.numbers import QuantScheme, TensorQuant
from xvision.quant.rules import KNOWN_RANGES, RULES


def free_scales(*, activations: Literal["affine", "symmetric"] = "affine") -> QuantScheme:
    """Free scales: symmetric int8 weights for each channel, uint8 activations; a runtime may round otherwise by one."""
    uint8 = TensorQuant(8, signed=False, symmetric=activations == "symmetric", power_of_two=False)
    return QuantScheme(
        "free_scales",
        weights=TensorQuant(8, granularity="channel", power_of_two=False),
        activations=uint8,
        bias=TensorQuant(32, granularity="channel", power_of_two=False),
        heads=uint8,
        rules=RULES,
        known_ranges=KNOWN_RANGES,
        tolerance_lsb=1,
    )
