"""Brightness and contrast of a batch by tables of 256 values: what torchvision's ColorJitter does, to the bit.

One sample at a time it is most of the loader's work (`benchmarks/loader.py`); here it draws the numbers alone.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from torch import Tensor

Array = np.ndarray[Any, Any]

_LEVELS = np.arange(256, dtype=np.float32)
_GRAY = (0.2989, 0.587, 0.114)


def change_tone(images: Tensor, params: list[dict[str, Any]]) -> None:
    """Change uint8 images (B, 3, H, W) in place, each by what a ColorJitter of brightness and contrast has drawn.

    The contrast changes about the mean of the image at that moment, so brightness that is due first is applied first.
    """
    pixels = images.permute(0, 2, 3, 1).numpy()
    brightness = [p["brightness_factor"] for p in params]
    contrast = [p["contrast_factor"] for p in params]
    order = [p["fn_idx"].tolist() for p in params]
    bright_first = [b is not None and (c is None or o.index(0) < o.index(1))
                    for b, c, o in zip(brightness, contrast, order, strict=True)]  # fmt: skip
    tables = _blended(brightness, np.zeros(len(params), np.float32))
    for row, table, now in zip(pixels, tables, bright_first, strict=True):
        if now:
            row[...] = cv2.LUT(row, table)
    if any(c is not None for c in contrast):
        around = _blended(contrast, _gray_means(images))
        both = np.take_along_axis(tables, around.astype(np.intp), axis=1)
        for row, table, two, now in zip(pixels, around, both, bright_first, strict=True):
            row[...] = cv2.LUT(row, table if now else two)


def _gray_means(images: Tensor) -> Array:
    """The mean gray value of each image: of whole numbers, so that up to 256x256 pixels no order of adding matters."""
    red, green, blue = images.unbind(1)
    gray = red.mul(_GRAY[0]).add_(green, alpha=_GRAY[1]).add_(blue, alpha=_GRAY[2]).floor_()
    return gray.mean(dim=(1, 2)).numpy()


def _blended(factors: list[float | None], others: Array) -> Array:
    """Tables (B, 256): factor * value + (1 - factor) * other, rounded once as a fused multiply-add does."""
    factor = np.array([1.0 if f is None else f for f in factors])[:, None]
    weighted = _LEVELS * factor.astype(np.float32)
    added = weighted.astype(np.float64) + (1 - factor).astype(np.float32).astype(np.float64) * others[:, None]
    return np.clip(added.astype(np.float32), 0, 255).astype(np.uint8)
