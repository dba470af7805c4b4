"""Bilinear resizing in a form that every runtime computes to the last bit.

A Resize between DequantizeLinear and QuantizeLinear becomes one of uint8 in ONNX Runtime up to 1.26, which rounds in
another way; and where weights are no powers of two, its sum of four products is rounded in an order of its own. So
rows are resized first and columns after them: by powers of two with an operator each, whose products and sums float32
holds exactly; to other sizes as x[i] * u + x[i + 1] * w, one operation after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx

from xvision.graph.operators import arguments, aten, packet
from xvision.graph.surgery import bypass

Array = np.ndarray[Any, Any]


EXACT_FACTORS = (1, 2, 4, 8)
"""By 8 in both directions the weights have 8 bits in all, which beside codes of 16 bits is what float32 holds."""


def plain_resizes(graph: fx.GraphModule) -> None:
    """Call `bilinear` for every bilinear resize of maps."""
    for node in list(graph.graph.nodes):
        if packet(node) is not aten.upsample_bilinear2d:
            continue
        given = arguments(node)
        size = [int(side) for side in node.meta["val"].shape[2:]]
        scales = given.get("scale_factors")
        if size == [*given["input"].meta["val"].shape[2:]] and all(scale == 1 for scale in scales or ()):
            bypass(node)
            continue
        node.target = bilinear
        node.args = (given["input"], size, bool(given["align_corners"]), scales and [*scales])
        node.kwargs = {}


def bilinear(
    x: Tensor, size: Sequence[int], align_corners: bool = False, scales: Sequence[float] | None = None
) -> Tensor:
    """Maps (B, C, H, W) at another size; `scales` are the factors where those of the sizes are others."""
    factors: Sequence[float | None] = scales or (None, None)
    for axis in (2, 3):
        x = _along(x, axis, size[axis - 2], align_corners, factors[axis - 2])
    return x


def _along(x: Tensor, axis: int, size: int, align_corners: bool, scale: float | None) -> Tensor:
    before = x.shape[axis]
    if _is_same(before, size, scale):
        return x
    if resizes_exactly(before, size, align_corners, scale):
        factors = [size / before if a == axis else 1.0 for a in (2, 3)]
        return F.interpolate(x, scale_factor=factors, mode="bilinear", align_corners=False)
    shape = [-1, 1] if axis == 2 else [-1]
    # tensors of their own at each call: one made while a network is exported has no values
    first, second, near, far = (
        torch.tensor(one, device=x.device) for one in linear_weights(before, size, align_corners, scale)
    )
    low, high = x.index_select(axis, first), x.index_select(axis, second)
    return low * near.reshape(shape) + high * far.reshape(shape)


def _is_same(before: int, after: int, scale: float | None) -> bool:
    return before == after and scale in (None, 1.0)


def resizes_exactly(before: int, after: int, align_corners: bool, scale: float | None) -> bool:
    """Whether the weights along a side are whole numbers of 1 / (2 * factor), and the factor a power of two."""
    if _is_same(before, after, scale):
        return True
    if align_corners:
        return False
    large, small = max(before, after), min(before, after)
    factor = large // small
    agrees = scale is None or scale * before == after
    return agrees and large % small == 0 and factor in EXACT_FACTORS


@lru_cache(maxsize=256)
def linear_weights(
    before: int, after: int, align_corners: bool, scale: float | None
) -> tuple[Array, Array, Array, Array]:
    """For each row or column of the result: the two it lies between, and the weight of each."""
    places = np.arange(after, dtype=np.float64)
    if align_corners:
        source = places * ((before - 1) / max(1, after - 1))
    else:
        source = np.maximum((places + 0.5) * (1 / scale if scale else before / after) - 0.5, 0)
    first = np.minimum(np.floor(source).astype(np.int64), before - 1)
    share = (source - first).astype(np.float32)
    return first, np.minimum(first + 1, before - 1), 1 - share, share
