"""Numbers in fixed point: whole numbers of a step."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.fx.node import map_aggregate

from xvision.quant.integer.rounding import (
    MOST,
    TIES,
    Tie,
    bit_length,
    dyadic,
    in_24_bits,
    rescaled,
    rescaled_twice,
    shifted,
)
from xvision.quant.numbers import Rounding


@dataclass(frozen=True)
class FixedPoint:
    """A tensor of whole numbers, int64, each worth `step`: codes without their zero point, or an accumulator.

    `step` is positive, in double: one for all, or broadcast against the numbers. `bounds` are those of an activation
    that only clips; they are applied to the codes, where they cost nothing. `of_layer`: the accumulator of a layer,
    which some devices round twice.
    """

    whole: Tensor
    step: Tensor
    bounds: tuple[float, float] = (-math.inf, math.inf)
    of_layer: bool = False

    @classmethod
    def of(cls, number: float) -> FixedPoint:
        """A number of the graph, in float32: its sign, times a step of its size."""
        size = torch.tensor(abs(number), dtype=torch.float32).double()
        sign = (number > 0) - (number < 0)
        return cls(torch.tensor(sign), size if sign else torch.ones_like(size))

    def clipped(self, low: float, high: float) -> FixedPoint:
        """With bounds inside those that it has."""
        return replace(self, bounds=(max(low, self.bounds[0]), min(high, self.bounds[1])))

    def steps_of(self, scale: Tensor, rounding: Rounding) -> Tensor:
        """In whole steps of `scale`, rounded: what is saturated next."""
        if self.of_layer and rounding == "double":
            result = rescaled_twice(self.whole, self.step, scale)
        else:
            result = rescaled(self.whole, self.step, scale, TIES[rounding])
        low, high = (_code_of(bound, scale, TIES[rounding]) for bound in self.bounds)
        return result.clamp(low, high) if low is not None or high is not None else result

    def to_float(self) -> Tensor:
        """In float32, as a simulation has it."""
        return self.whole.float() * self.step.float()


def mapped(value: Any, function: Callable[[Any], Any]) -> Any:
    """What a function makes of every value in tuples, lists and dicts."""
    return map_aggregate(value, function)


def _code_of(bound: float, scale: Tensor, tie: Tie) -> int | None:
    """A bound in steps of `scale`: as rounding keeps the order of numbers, it may be rounded by itself."""
    if math.isinf(bound):
        return None
    number = FixedPoint.of(bound)
    return int(rescaled(number.whole, number.step, scale, tie))


def on_one_step(values: Sequence[FixedPoint]) -> tuple[list[Tensor], Tensor]:
    """Whole numbers of one step, whatever the steps were.

    Every step is a float32 number, m * 2^e, so a step that divides them all is a power of two, and nothing is rounded
    where the results fit into int64; where they do not, it is as fine as fits.
    """
    steps = [value.step for value in values]
    if all(torch.equal(step, steps[0]) for step in steps):
        return [value.whole for value in values], steps[0]
    parts = [tuple(map(int, dyadic(step.float()))) for step in steps]
    sizes = [
        int(bit_length(value.whole.abs().max() * mantissa)) + exponent
        for value, (mantissa, exponent) in zip(values, parts, strict=True)
    ]
    # a bit is left for the sum of two
    finest = max(min(exponent for _, exponent in parts), max(sizes) + 1 - MOST)
    whole = [
        shifted(value.whole * mantissa, torch.tensor(finest - exponent), "half_even")
        for value, (mantissa, exponent) in zip(values, parts, strict=True)
    ]
    return whole, torch.tensor(2.0**finest, dtype=torch.float64)


def divided(x: FixedPoint, divisor: int) -> FixedPoint:
    """x / divisor: in the step where that loses nothing, else as a float32 quotient has it.

    The quotient is exact but for a last bit that says whether there is more, far below the 24 that are kept.
    """
    if divisor & divisor - 1 == 0:
        return replace(x, step=x.step / divisor)
    finer = max(0, MOST - 1 - int(bit_length(x.whole.abs().max())))
    enlarged = x.whole << finer
    quotient = torch.div(enlarged, divisor, rounding_mode="floor")
    quotient |= quotient * divisor != enlarged
    return replace(x, whole=in_24_bits(quotient), step=x.step / 2.0**finer)
