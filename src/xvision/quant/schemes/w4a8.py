"""Weights of 4 bits: half the flash memory and traffic of int8, at a loss that training wins back."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from xvision.quant.numbers import QuantScheme
from xvision.quant.schemes import scheme
from xvision.quant.schemes.int8 import int8


@scheme
def w4a8(*, head_bits: Literal[8, 16] = 16) -> QuantScheme:
    """Weights of 4 bits with free scales, one for each channel; uint8 activations with a zero point."""
    wide: QuantScheme = int8(head_bits=head_bits)
    return replace(wide, name="w4a8", weights=wide.weights.with_bits(4))
