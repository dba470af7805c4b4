"""Sums and means: the sum is exact, the division comes after it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from xvision.quant.integer.fixed import FixedPoint, divided, on_one_step


def total(given: dict[str, Any]) -> FixedPoint:
    """aten.sum."""
    x: FixedPoint = given["self"]
    return replace(x, whole=_sum(given))


def mean(given: dict[str, Any]) -> FixedPoint:
    """aten.mean."""
    x, whole = given["self"], _sum(given)
    return divided(replace(x, whole=whole), x.whole.numel() // whole.numel())


def _sum(given: dict[str, Any]) -> Tensor:
    whole: Tensor = given["self"].whole
    if not given.get("dim"):
        return whole.sum()
    return whole.sum(given["dim"], keepdim=given["keepdim"])


def avg_pool(given: dict[str, Any]) -> FixedPoint:
    """aten.avg_pool2d of a plain graph, without padding (see `graph.pools`)."""
    x, (rows, columns), (down, across) = given["self"], given["kernel_size"], given["stride"]
    height, width = (x.whole.shape[2] - rows) // down + 1, (x.whole.shape[3] - columns) // across + 1
    whole = torch.zeros_like(x.whole[:, :, :height, :width])
    for i in range(rows):
        for j in range(columns):
            whole += x.whole[:, :, i::down, j::across][:, :, :height, :width]
    return divided(replace(x, whole=whole), rows * columns)


def adaptive_avg_pool(given: dict[str, Any]) -> FixedPoint:
    """aten.adaptive_avg_pool2d where windows differ in size: torch divides by their rows, then by their columns."""
    x, size = given["self"], given["output_size"]
    means = []
    for top, bottom in _windows(x.whole.shape[2], size[0]):
        for left, right in _windows(x.whole.shape[3], size[1]):
            window = replace(x, whole=x.whole[:, :, top:bottom, left:right].sum((2, 3)))
            means.append(divided(divided(window, bottom - top), right - left))
    whole, step = on_one_step(means)
    return FixedPoint(torch.stack(whole, 2).view(*x.whole.shape[:2], *size), step)


def _windows(side: int, size: int) -> list[tuple[int, int]]:
    """First pixel of each window, and the one after its last, as torch divides a side."""
    return [(i * side // size, math.ceil((i + 1) * side / size)) for i in range(size)]
