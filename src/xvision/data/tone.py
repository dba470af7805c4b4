"""Brightness, contrast and saturation of a batch: what torchvision's ColorJitter does, to the bit.

As v2 transforms of one sample at a time it is most of the loader's work (`benchmarks/loader.py`). Here brightness and
contrast are tables of 256 values, and saturation is three passes over an image that stays in the cache.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, Any]

_LEVELS = np.arange(256, dtype=np.float32)
_GRAY = (0.2989, 0.587, 0.114)
_KINDS = ("brightness_factor", "contrast_factor", "saturation_factor")  # as ColorJitter counts them


def change_tone(images: Tensor, params: list[dict[str, Any]]) -> None:
    """Change uint8 images (B, 3, H, W) in place, each by what a ColorJitter without hue has drawn, in its order."""
    pixels = images.permute(0, 2, 3, 1).numpy()
    orders = [
        [k for k in p["fn_idx"].tolist() if k < len(_KINDS) and p[_KINDS[k]] is not None] for p in params
    ]
    for place in range(max(map(len, orders))):
        for kind, change in enumerate((_change_brightness, _change_contrast, _change_saturation)):
            rows = [i for i, order in enumerate(orders) if place < len(order) and order[place] == kind]
            if rows:
                change(pixels, rows, [params[i][_KINDS[kind]] for i in rows])


def _change_brightness(pixels: Array, rows: list[int], factors: list[float]) -> None:
    for row, table in zip(rows, _blended(factors, np.zeros(len(rows), np.float32)), strict=True):
        pixels[row] = cv2.LUT(pixels[row], table)


def _change_contrast(pixels: Array, rows: list[int], factors: list[float]) -> None:
    """About the mean gray of each image: of whole numbers, so that up to 256x256 pixels no order of adding matters."""
    means = np.array([_gray(pixels[row]).mean().item() for row in rows], np.float32)
    for row, table in zip(rows, _blended(factors, means), strict=True):
        pixels[row] = cv2.LUT(pixels[row], table)


def _change_saturation(pixels: Array, rows: list[int], factors: list[float]) -> None:
    """Image by image, in a buffer that stays in the cache."""
    mixed = torch.empty(pixels.shape[1:])
    for row, factor in zip(rows, factors, strict=True):
        image = torch.from_numpy(pixels[row])
        gray = torch.from_numpy(cv2.merge([_gray(pixels[row]).numpy()] * 3))  # a broadcast adds slowly
        torch.mul(image, factor, out=mixed).add_(gray, alpha=1 - factor)
        image.copy_(mixed.clamp_(0, 255))


def _gray(image: Array) -> Tensor:
    """Whole gray values (H, W) of an image (H, W, 3)."""
    red, green, blue = map(torch.from_numpy, cv2.split(image))
    return red.mul(_GRAY[0]).add_(green, alpha=_GRAY[1]).add_(blue, alpha=_GRAY[2]).floor_()


def _blended(factors: list[float], others: Array) -> Array:
    """Tables (B, 256): factor * value + (1 - factor) * other, rounded once as a fused multiply-add does."""
    factor = np.array(factors)[:, None]
    weighted = _LEVELS * factor.astype(np.float32)
    added = weighted.astype(np.float64) + (1 - factor).astype(np.float32).astype(np.float64) * others[:, None]
    return np.clip(added.astype(np.float32), 0, 255).astype(np.uint8)
