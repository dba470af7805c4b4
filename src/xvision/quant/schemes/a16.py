"""Activations of 16 bits: for regressions, and to tell whether 8 bits are what loses.

Weights of 8 bits per channel and symmetric int16 activations, as in TensorFlow Lite's "16x8". Products of 16 and 8 bits
add up beyond 2^24, where float32 is not exact: the simulation sums these layers in float64.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from xvision.quant.numbers import QuantScheme
from xvision.quant.schemes import scheme
from xvision.quant.schemes.int8 import int8


@scheme
def a16(*, head_bits: Literal[8, 16] = 16) -> QuantScheme:
    """Activations of 16 bits; weights of 8 bits with free scales, one for each channel."""
    narrow: QuantScheme = int8(head_bits=head_bits)
    return replace(narrow, name="a16", activations=narrow.activations.with_bits(16))
