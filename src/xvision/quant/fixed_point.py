"""Multiplication of a sum of products by a scale as 32-bit processors do it: by an integer, and a shift, both rounded.

The multiplier is M = m * 2^(shift - 31), with m an integer in [2^30, 2^31). A product with m is divided by 2^31 and
rounded half up, what is left of the shift then divides again, rounded half away from zero: two roundings, whose result
differs from one rounding near halves. Source: gemmlowp, SaturatingRoundingDoublingHighMul and RoundingDivideByPOT, as
TensorFlow Lite Micro and CMSIS-NN have them; Jacob et al., "Quantization and Training of Neural Networks" (CVPR 2018),
section 2.2.
"""

from __future__ import annotations

import torch
from torch import Tensor

FRACTION_BITS = 31


def as_integer(multiplier: Tensor) -> tuple[Tensor, Tensor]:
    """The integer m, and the shift, of multipliers above zero; int64.

    >>> as_integer(torch.tensor([0.5, 1.0, 0.3], dtype=torch.float64))
    (tensor([1073741824, 1073741824, 1288490189]), tensor([ 0,  1, -1]))
    """
    mantissa, shift = torch.frexp(multiplier.double())  # in [0.5, 1)
    whole = torch.round(mantissa * 2**FRACTION_BITS).long()
    carried = whole == 1 << FRACTION_BITS
    return torch.where(carried, whole >> 1, whole), shift.long() + carried


def first_rounding(sums: Tensor, multiplier: Tensor) -> tuple[Tensor, Tensor]:
    """Sums (int64) after the multiplication, and by how many bits they are still to be shifted right.

    >>> first_rounding(torch.tensor([3, -3, 5]), torch.tensor(0.25))
    (tensor([ 2, -1,  3]), tensor(1))
    """
    m, shift = as_integer(multiplier)
    left, right = shift.clamp(min=0), (-shift).clamp(min=0)
    return ((sums << left) * m + (1 << FRACTION_BITS - 1)) >> FRACTION_BITS, right


def second_rounding(product: Tensor, right: Tensor) -> Tensor:
    """Products (int64) divided by 2^right, rounded half away from zero.

    >>> second_rounding(torch.tensor([2, -1, 3]), torch.tensor(1))
    tensor([ 1, -1,  2])
    """
    half = torch.where(right > 0, 1 << (right - 1).clamp(min=0), 0)
    return product.sign() * ((product.abs() + half) >> right)


def half_up(x: Tensor) -> Tensor:
    """Whole numbers in place of floats, halves up; not by adding 0.5, which is rounded itself just below a half.

    >>> half_up(torch.tensor([0.5, 1.5, -2.5, 0.49999997]))
    tensor([ 1.,  2., -2.,  0.])
    """
    below = x.floor()
    return below.add_((x - below >= 0.5).to(x.dtype))


def half_away(x: Tensor) -> Tensor:
    """Whole numbers in place of floats, halves away from zero.

    >>> half_away(torch.tensor([0.5, 1.5, -2.5, 0.4]))
    tensor([ 1.,  2., -3.,  0.])
    """
    return torch.copysign(half_up(x.abs()), x)
