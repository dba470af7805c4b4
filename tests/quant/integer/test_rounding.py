"""Roundings against numbers that were worked out by hand, and against the definitions in exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from xvision.quant.integer.fixed import FixedPoint
from xvision.quant.integer.rounding import (
    Tie,
    bit_length,
    dyadic,
    in_24_bits,
    rescaled,
    rescaled_twice,
    shifted,
)
from xvision.quant.numbers import Rounding

ROUNDINGS: tuple[Rounding, ...] = ("half_even", "half_up", "double")


def numbers(*values: float) -> Tensor:
    return torch.tensor(values if len(values) > 1 else values[0], dtype=torch.float64)


@pytest.mark.parametrize(
    ("rounding", "wanted"),
    [
        ("half_even", [-2, -2, -1, 0, 0, 0, 0, 1, 1, 2, 2]),
        ("half_up", [-2, -1, -1, 0, 0, 0, 1, 1, 1, 2, 3]),
        # 5 is rounded twice: halved, 2.5 goes up to 3; halved again, 1.5 goes away from zero
        ("double", [-3, -2, -1, -1, 0, 0, 1, 1, 2, 2, 3]),
    ],
)
def test_a_quarter(rounding: Rounding, wanted: list[int]) -> None:
    """Ties are at 2, 6 and 10, of both signs."""
    x = torch.tensor([-10, -6, -5, -2, -1, 0, 2, 3, 5, 6, 10])
    assert FixedPoint(x, numbers(0.25), of_layer=True).steps_of(numbers(1.0), rounding).tolist() == wanted


def test_what_has_no_weights_is_rounded_once() -> None:
    x = torch.tensor([-10, -6, -5, -2, -1, 0, 2, 3, 5, 6, 10])
    found = FixedPoint(x, numbers(0.25)).steps_of(numbers(1.0), "double")
    assert found.tolist() == [-3, -2, -1, -1, 0, 0, 1, 1, 1, 2, 3]


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("of_layer", [False, True])
def test_finer_steps_lose_nothing(rounding: Rounding, of_layer: bool) -> None:
    x = FixedPoint(torch.tensor([-7, -1, 0, 3]), numbers(2.0), of_layer=of_layer)
    assert x.steps_of(numbers(0.25), rounding).tolist() == [-56, -8, 0, 24]
    assert x.steps_of(numbers(2.0), rounding).tolist() == x.whole.tolist()


def gemmlowp(x: int, factor: float) -> int:
    """MultiplyByQuantizedMultiplier with QuantizeMultiplier, as their C++ reads, in whole numbers of any size."""
    fraction, exponent = math.frexp(factor)
    multiplier = math.floor(fraction * 2**31 + 0.5)
    if multiplier == 2**31:
        multiplier, exponent = multiplier // 2, exponent + 1
    left, right = max(exponent, 0), max(-exponent, 0)
    product = x * 2**left * multiplier
    nudge = 2**30 if product >= 0 else 1 - 2**30
    high = abs(product + nudge) // 2**31 * (1 if product + nudge >= 0 else -1)  # C divides towards zero
    mask = (1 << right) - 1
    rest, threshold = high & mask, (mask >> 1) + (high < 0)
    return (high >> right) + (rest > threshold)


@pytest.mark.parametrize("factor", [0.5, 0.25, 2.0**-9, 1.5, 0.7311, 1 / 49, 0.0003921, 3.0, 1 - 2.0**-40])
def test_the_double_rounding_is_gemmlowps(factor: float) -> None:
    drawn = np.random.default_rng(0).integers(-(2**20), 2**20, 300)
    x = torch.from_numpy(np.concatenate([drawn, np.arange(-300, 300)]))
    wanted = [gemmlowp(int(value), factor) for value in x]
    assert rescaled_twice(x, numbers(factor), numbers(1.0)).tolist() == wanted


@pytest.mark.parametrize("tie", ["half_even", "half_up"])
@pytest.mark.parametrize("factor", [1 / 3, 0.7311, 0.0123, 1.9])
def test_a_free_factor_is_a_float32_that_multiplies_in_float32(tie: Tie, factor: float) -> None:
    """As in kernels of runtimes: the sum in float32, times a float32, rounded to a whole number."""
    drawn = np.random.default_rng(1).integers(-(2**28), 2**28, 2000)
    products = drawn.astype(np.float32) * np.float32(factor)
    exactly = [Fraction(float(value)) for value in products]
    half = Fraction(1, 2)
    wanted = [round(value) if tie == "half_even" else math.floor(value + half) for value in exactly]
    assert rescaled(torch.from_numpy(drawn), numbers(factor), numbers(1.0), tie).tolist() == wanted


def test_a_power_of_two_never_loses_a_bit_of_a_long_sum() -> None:
    """A float32 would hold 2^30 + 2^9 - 1 as 2^30 + 2^9, which is a tie: one code more for half up."""
    x = torch.tensor([2**30 + 2**9 - 1, 2**30 + 2**9])
    assert rescaled(x, numbers(2.0**-10), numbers(1.0), "half_up").tolist() == [2**20, 2**20 + 1]
    assert rescaled(x, numbers(2.0**-10), numbers(1.0), "half_even").tolist() == [2**20, 2**20]


def test_24_bits_are_those_of_a_float32() -> None:
    drawn = np.random.default_rng(2).integers(-(2**60), 2**60, 1000) >> np.arange(1000) % 50
    assert in_24_bits(torch.from_numpy(drawn)).tolist() == [int(np.float32(v)) for v in drawn]


def test_parts_of_a_number_and_lengths() -> None:
    drawn = torch.rand(1000, generator=torch.Generator().manual_seed(0)) * 10 + 1e-3
    mantissa, exponent = dyadic(drawn)
    assert bool((mantissa % 2 == 1).all())
    assert torch.equal(torch.ldexp(mantissa.double(), exponent), drawn.double())
    drawn = torch.randint(0, 2**62, (1000,)) >> (torch.arange(1000) % 60)
    assert bit_length(drawn).tolist() == [int(value).bit_length() for value in drawn]


def test_a_shift_by_more_bits_than_there_are() -> None:
    x = torch.tensor([-5, 0, 5])
    for tie in ("half_even", "half_up", "half_away"):
        assert shifted(x, torch.tensor(100), tie).tolist() == [0, 0, 0]
