"""What operators do with whole numbers: compute, exactly up to the requantization, or only move and compare them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from xvision.graph.operators import aten
from xvision.quant.integer import sums
from xvision.quant.integer.fixed import FixedPoint, mapped, on_one_step
from xvision.quant.integer.rounding import in_24_bits
from xvision.quant.numbers import Rounding

Given = dict[str, Any]
"""Arguments by name; the integer tensors among them are `FixedPoint`."""
FAR = 1 << 40
"""In place of infinity: beyond the range of every code."""


def product(given: Given) -> FixedPoint:
    """aten.mul."""
    a, b = _fixed(given["self"]), _fixed(given["other"])
    return _held(FixedPoint(a.whole * b.whole, a.step * b.step))


def sum_of_two(given: Given) -> FixedPoint:
    """aten.add."""
    return _sum(given, given["alpha"])


def difference(given: Given) -> FixedPoint:
    """aten.sub."""
    return _sum(given, -given["alpha"])


def _sum(given: Given, alpha: float) -> FixedPoint:
    times, a, b = (_fixed(value) for value in (alpha, given["self"], given["other"]))
    b = FixedPoint(b.whole * times.whole, b.step * times.step)
    (x, y), step = on_one_step([a, b])
    return _held(FixedPoint(x + y, step))


def matmul(given: Given) -> FixedPoint:
    """aten.matmul of two tensors that depend on the image, and aten.bmm."""
    a, b = given["self"], given["other"] if "other" in given else given["mat2"]
    return FixedPoint(a.whole @ b.whole, a.step * b.step)


def prelu(given: Given) -> FixedPoint:
    """aten.prelu, with a slope for each channel or one."""
    x, slope = given["self"], given["weight"]
    slopes = slope.whole.view(-1, *[1] * (x.whole.ndim - 2))
    below = _held(FixedPoint(x.whole * slopes, x.step * slope.step))
    (same, sloped), step = on_one_step([x, below])
    return FixedPoint(torch.where(x.whole > 0, same, sloped), step)


def pad(given: Given, rounding: Rounding) -> FixedPoint:
    """aten.pad and aten.constant_pad_nd with a constant."""
    x: FixedPoint = given["self"]
    value = given["value"] or 0.0
    if math.isinf(value):
        code = FAR if value > 0 else -FAR
    else:
        code = int(FixedPoint.of(value).steps_of(x.step, rounding))
    return replace(x, whole=aten.constant_pad_nd(x.whole, given["pad"], code))


def _fixed(value: FixedPoint | float) -> FixedPoint:
    return value if isinstance(value, FixedPoint) else FixedPoint.of(value)


def _held(x: FixedPoint) -> FixedPoint:
    """As an operation on float32 numbers leaves it: nothing is lost of codes of 8 bits."""
    return replace(x, whole=in_24_bits(x.whole))


COMPUTING: Mapping[str, Callable[[Given], FixedPoint]] = {
    "mul": product,
    "add": sum_of_two,
    "sub": difference,
    "matmul": matmul,
    "prelu": prelu,
    "mean": sums.mean,
    "sum": sums.total,
    "avg_pool": sums.avg_pool,
    "adaptive_avg_pool": sums.adaptive_avg_pool,
}
"""Operators that compute new values. Those of the rules that are not here, and are no table, are `moved`."""


def moved(target: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """An operator that moves or compares values, on the whole numbers, brought to one step where there are several."""
    found: list[FixedPoint] = []
    mapped((args, kwargs), lambda value: found.append(value) if isinstance(value, FixedPoint) else None)
    whole, step = on_one_step(found)

    def call(numbers: list[Tensor]) -> Any:
        remaining = iter(numbers)
        given = mapped(
            (args, kwargs), lambda value: next(remaining) if isinstance(value, FixedPoint) else value
        )
        return target(*given[0], **given[1])

    try:
        result = call(whole)
    except NotImplementedError:  # torch has it for floats alone; a double holds 53 bits as they are
        result = call([one.double() for one in whole])
    return mapped(
        result, lambda value: FixedPoint(value.long(), step) if isinstance(value, Tensor) else value
    )
