"""Bilinear resizing by powers of two: weights are whole numbers of 1 / (2 * factor) along each side."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from xvision.graph.resize import linear_weights, resizes_exactly
from xvision.quant.integer.fixed import FixedPoint

Scales = Sequence[float | None] | None


def is_exact(before: Sequence[int], size: Sequence[int], align_corners: bool, scales: Scales) -> bool:
    """Whether all weights of a resize to (H, W) are whole numbers of a power of two."""
    sides = zip(before, size, scales or (None, None), strict=True)
    return all(resizes_exactly(one, other, align_corners, scale) for one, other, scale in sides)


def bilinear(
    x: FixedPoint, size: Sequence[int], align_corners: bool = False, scales: Scales = None
) -> FixedPoint:
    """`graph.resize.bilinear` where it is exact: rows first and columns after them, nothing rounded."""
    whole, step = x.whole, x.step
    for axis, scale in zip((2, 3), scales or (None, None), strict=True):
        before, after = whole.shape[axis], size[axis - 2]
        parts = 2 * max(before, after) // min(before, after)
        first, second, *shares = linear_weights(before, after, align_corners, scale)
        shape = [-1, 1] if axis == 2 else [-1]
        near, far = (torch.from_numpy(share * parts).long().view(shape) for share in shares)
        low, high = (whole.index_select(axis, torch.from_numpy(places)) for places in (first, second))
        whole, step = low * near + high * far, step / parts
    return FixedPoint(whole, step)
