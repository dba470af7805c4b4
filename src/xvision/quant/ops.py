"""The operators of a quantized graph, as torch knows them: they pass through `torch.export` untouched.

In a simulation they compute what ONNX's QuantizeLinear, DequantizeLinear and Gather compute.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from xvision.quant.fixed_point import half_away, half_up
from xvision.quant.numbers import Rounding


def steps(
    x: Tensor, scale: Tensor, low: int | Tensor, high: int | Tensor, rounding: Rounding = "half_even"
) -> Tensor:
    """The formula of quantization: whole steps of `scale` from zero, saturated to [low, high].

    Divides (times 1 / scale would move ties), rounds, saturates. `scale` broadcasts against `x`. All in one new tensor,
    since memory is what this waits for. Source: ONNX operator QuantizeLinear, which rounds half to even.
    """
    whole = rounded(x, scale, rounding)
    return whole.clamp_(low, high)  # type: ignore[arg-type]  # both are numbers, or both tensors


def rounded(x: Tensor, scale: Tensor, rounding: Rounding = "half_even") -> Tensor:
    """Whole steps of `scale` from zero; with "double" the second of the two roundings, a layer does the first."""
    whole = torch.div(x, scale)
    if rounding == "half_even":
        return whole.round_()
    return half_up(whole) if rounding == "half_up" else half_away(whole)


def squared_error(x: Tensor, wanted: Tensor) -> float:
    """The sum of squared differences, in double."""
    return float((x.double() - wanted.double()).square().sum())


def decibels(signal: float, noise: float) -> float:
    """10 log10 of signal over noise, at most 200.

    >>> decibels(100.0, 1.0), decibels(1.0, 0.0), decibels(0.0, 0.0)
    (20.0, 200.0, 200.0)
    """
    if noise == 0:
        return 200.0
    return min(200.0, 10 * math.log10(max(signal, 1e-300) / max(noise, 1e-300)))


@torch.library.custom_op("xvision::requantize", mutates_args=())
def requantize(x: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int, name: str) -> Tensor:
    """`x` on the quantization grid of a tensor: QuantizeLinear, Clip to the codes [low, high], DequantizeLinear.

    `zero_point` has the type of the codes; `name` is what the tensor is called in the file.
    """
    zero = int(zero_point)
    return (steps(x, scale, low - zero, high - zero) * scale).float()


@requantize.register_fake
def _(x: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int, name: str) -> Tensor:
    return torch.empty_like(x, dtype=torch.float32)


@torch.library.custom_op("xvision::dequantize", mutates_args=())
def dequantize(codes: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> Tensor:
    """Stored codes as numbers: DequantizeLinear, per tensor or (scale of one dimension) along the first axis."""
    values = codes.to(torch.float32)
    if zero_point is not None:
        values -= zero_point
    return values * (scale.reshape(-1, *[1] * (codes.ndim - 1)) if scale.ndim else scale)


@dequantize.register_fake
def _(codes: Tensor, scale: Tensor, zero_point: Tensor | None = None) -> Tensor:
    return torch.empty_like(codes, dtype=torch.float32)


@torch.library.custom_op("xvision::lookup", mutates_args=())
def lookup(x: Tensor, table: Tensor, grid: list[Tensor], out_grid: list[Tensor], name: str) -> Tensor:
    """A function of one value by the `table` of its 256 codes; a grid is a scale and a zero point, unsigned for `x`.

    `name` is what the tensor is called in the file.
    """
    scale, zero_point = grid
    codes = steps(x, scale, -int(zero_point), 255 - int(zero_point)).to(torch.int64) + int(zero_point)
    values: Tensor = dequantize(table[codes], *out_grid)
    return values


@lookup.register_fake
def _(x: Tensor, table: Tensor, grid: list[Tensor], out_grid: list[Tensor], name: str) -> Tensor:
    return torch.empty_like(x)
