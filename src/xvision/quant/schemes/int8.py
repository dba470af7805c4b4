"""Free scales: what runtimes on CPUs and most NPUs compute with, and what loses least.

Weights per output channel, symmetric; activations per tensor, their zero point wherever their range puts it. As in
Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference" (2018), section 3.1.
"""

from __future__ import annotations

from typing import Literal

from xvision.quant.numbers import QuantScheme, TensorQuant
from xvision.quant.rules import KNOWN_RANGES, RULES
from xvision.quant.schemes import scheme


@scheme
def int8(*, head_bits: Literal[8, 16] = 16) -> QuantScheme:
    """Free scales, one for each channel of weights; uint8 activations with a zero point."""
    activations = TensorQuant(8, signed=False, symmetric=False, power_of_two=False)
    return QuantScheme(
        "int8",
        weights=TensorQuant(8, granularity="channel", power_of_two=False),
        activations=activations,
        bias=TensorQuant(32, granularity="channel", power_of_two=False),
        heads=activations.with_bits(head_bits),
        rules=RULES,
        known_ranges=KNOWN_RANGES,
        tolerance_lsb=1,
    )
