"""Free scales without zero points: weights per channel, activations around zero, or from zero where none is negative.

Signed activations are unsigned codes around 128: the same quantization grid as int8 around 0, and the form that ONNX
Runtime fuses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from xvision.quant.numbers import QuantScheme
from xvision.quant.schemes import scheme
from xvision.quant.schemes.int8 import int8


@scheme
def int8_symmetric(*, head_bits: Literal[8, 16] = 16) -> QuantScheme:
    """Free scales, one for each channel of weights; activations without a zero point of their own."""
    affine: QuantScheme = int8(head_bits=head_bits)
    activations = replace(affine.activations, symmetric=True)
    return replace(
        affine, name="int8_symmetric", activations=activations, heads=activations.with_bits(head_bits)
    )
