"""From an accumulator to a code: integers shifted and multiplied, rounded as devices round.

half_even: a tie goes to the even neighbour (ONNX Runtime, XNNPACK, ESP32-P4). half_up: a tie goes up (TI, ESP32-S3).
double: layers round twice, as gemmlowp does, by a high multiplication with 31 bits and then a shift (TFLM, CMSIS-NN);
Jacob et al., "Quantization and Training of Neural Networks", CVPR 2018, section 2.2 and appendix B. What has no weights
rounds once, a tie away from zero: in effect that is what TFLM does in sums, whose inputs it shifts by 20 bits, and in
average pools; in products and means of TFLM it is a simplification.

Where a layer does not round twice, a factor that is no power of two has the 24 bits of a float32, and so has its
product: that is what kernels of runtimes multiply accumulators with.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor

from xvision.quant.numbers import Rounding

Tie = Literal["half_even", "half_up", "half_away"]

MOST = 62
"""Bits of magnitude that int64 holds, less one for a sum."""
FLOAT_BITS = 24
"""Of the significand of a float32."""
MULTIPLIER_BITS = 31
"""Of the multiplier of the double rounding."""


def shifted(x: Tensor, shift: Tensor, tie: Tie) -> Tensor:
    """x / 2^shift in whole numbers; a negative shift multiplies.

    >>> ties = torch.tensor([-6, -5, -3, -2, -1, 1, 2, 3, 5, 6])
    >>> shifted(ties, torch.tensor(2), "half_even").tolist()
    [-2, -1, -1, 0, 0, 0, 0, 1, 1, 2]
    >>> shifted(ties, torch.tensor(2), "half_up").tolist()
    [-1, -1, -1, 0, 0, 0, 1, 1, 1, 2]
    >>> shifted(ties, torch.tensor(2), "half_away").tolist()
    [-2, -1, -1, -1, 0, 0, 1, 1, 1, 2]
    """
    right = shift.clamp(0, MOST)
    x = x << (-shift).clamp(min=0)
    half = torch.ones_like(right) << right >> 1  # 0 where nothing is shifted out
    if tie == "half_up":
        return (x + half) >> right
    floor = x >> right
    rest = x - (floor << right)
    is_tie = (rest == half) & (right > 0)
    goes_up = floor & 1 == 1 if tie == "half_even" else x >= 0
    return floor + ((rest > half) | (is_tie & goes_up))


TIES: Mapping[Rounding, Tie] = {"half_even": "half_even", "half_up": "half_up", "double": "half_away"}
"""Where a tie goes that is rounded once."""


def rescaled(x: Tensor, step: Tensor, scale: Tensor, tie: Tie) -> Tensor:
    """Whole steps as whole steps of `scale`, rounded once.

    `step` and `scale` are positive, in double, one for all or broadcast against x. If one is a power of two of the
    other, this is a shift and nothing else.
    """
    mantissa, exponent = dyadic(step.float() / scale.float())  # the factor of a kernel, in its precision
    if bool((mantissa == 1).all()):
        return shifted(x, -exponent, tie)
    significand, excess = _float_parts(x)
    product, more = _float_parts(significand * mantissa)
    return shifted(product, -exponent - excess - more, tie)


def dyadic(x: Tensor) -> tuple[Tensor, Tensor]:
    """Positive float32 numbers as mantissa * 2^exponent, with odd mantissas.

    >>> dyadic(torch.tensor([0.25, 6.0, 0.1]))
    (tensor([       1,        3, 13421773]), tensor([ -2,   1, -27]))
    """
    fraction, exponent = torch.frexp(x.double())
    mantissa = (fraction * 2**FLOAT_BITS).long()
    zeros = bit_length(mantissa & -mantissa) - 1
    return mantissa >> zeros, exponent.long() - FLOAT_BITS + zeros


def in_24_bits(x: Tensor) -> Tensor:
    """Rounded to 24 significant bits, half to even, as a float32 would hold it.

    >>> in_24_bits(torch.tensor([2**24 - 1, 2**24 + 1, 2**24 + 3, -(2**25) - 3])).tolist()
    [16777215, 16777216, 16777220, -33554436]
    """
    significand, excess = _float_parts(x)
    return significand << excess


def _float_parts(x: Tensor) -> tuple[Tensor, Tensor]:
    """The 24 bits that a float32 keeps of each number, half to even, and how many are left out behind them."""
    size = x.abs()
    if int(size.max()) < 1 << FLOAT_BITS:
        return x, torch.zeros((), dtype=torch.int64)
    excess = (bit_length(size) - FLOAT_BITS).clamp(min=0)
    return shifted(x, excess, "half_even"), excess


def bit_length(x: Tensor) -> Tensor:
    """Of numbers that are not negative.

    >>> bit_length(torch.tensor([0, 1, 2, 3, 255, 256])).tolist()
    [0, 1, 2, 2, 8, 9]
    """
    length = (x > 0).long()
    for bits in (32, 16, 8, 4, 2, 1):
        length += bits * (x >> (length - 1 + bits).clamp(0, 63) > 0) * (x > 0)
    return length


def rescaled_twice(x: Tensor, step: Tensor, scale: Tensor) -> Tensor:
    """Whole steps as whole steps of `scale`, rounded twice, also by powers of two.

    gemmlowp's SaturatingRoundingDoublingHighMul, then its RoundingDivideByPOT. The simulation has its own
    (`quant.fixed_point`): each is the other's proof.
    """
    fraction, exponent = torch.frexp(step / scale)
    multiplier = (fraction * 2**MULTIPLIER_BITS).round().long()
    carry = multiplier >> MULTIPLIER_BITS  # 1 where the fraction was rounded up to one
    multiplier, exponent = multiplier >> carry, exponent.long() + carry
    limit = 1 << MULTIPLIER_BITS
    x = (x << exponent.clamp(min=0)).clamp(-limit, limit - 1)
    high = (x * multiplier + (1 << MULTIPLIER_BITS - 1)) >> MULTIPLIER_BITS
    return shifted(high, (-exponent).clamp(min=0), "half_away")
