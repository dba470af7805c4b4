"""Functions of one value as tables: an entry for each code of the input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from xvision.quant.integer.fixed import FixedPoint

LONGEST = 1 << 8
"""Entries of a table that is made whole; of more codes those that occur are computed."""


@dataclass(frozen=True)
class Lookup:
    """What a function gives of codes, in float: `values[places]`. The quantizer after it makes a table of them."""

    values: Tensor
    places: Tensor


def looked_up(function: Callable[[Tensor], Tensor], x: FixedPoint, low: int, high: int) -> Lookup:
    """A function of a tensor whose whole numbers are in [low, high]."""
    if high - low < LONGEST:
        codes, places = torch.arange(low, high + 1), x.whole - low
    else:
        codes, places = torch.unique(x.whole, return_inverse=True)
    return Lookup(function(FixedPoint(codes, x.step).to_float()), places)
