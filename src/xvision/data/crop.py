"""The part of the stored samples that is used: `data.crop_rect` and `data.mask_rect`.

Both are rectangles in the pixels of the stored image, and both apply once to every sample, before it is shrunk, cached
or moved: what follows (augmentation, metrics, pictures) sees a data set whose images are the cut ones. So there is
still one matrix per sample, and a cache holds the pixels that are used and no others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any

import numpy as np

from xvision.data.dataset import DataError, Sample, Split
from xvision.data.framing import Map
from xvision.data.geometry import warp
from xvision.data.rectangles import Rect, rect_text
from xvision.fields import FIELDS

Array = np.ndarray[Any, Any]


def within(split: Split, crop: Rect | None, mask: Rect | None) -> Split:
    """The split with every sample cut to `crop`, and with nothing known of what is labelled inside `mask`."""
    if crop is None and mask is None:
        return split
    part = _Within(split, crop, mask)
    return replace(split, load=part.load, digest=part.digest)


def cut_pixels(values: Array, crop: Rect | None) -> Array:
    """The rectangle of a map or image (H, W, ...); all of it without one."""
    if crop is None:
        return values
    top, left, bottom, right = crop
    return np.ascontiguousarray(values[top:bottom, left:right])


@dataclass(frozen=True)
class _Within:
    split: Split
    crop: Rect | None
    mask: Rect | None

    def load(self, i: int) -> Sample:
        """Sample i, masked, then cut.

        Raises: DataError that names the sample into which a rectangle does not fit.
        """
        sample = self.split.load(i)
        sizes = {v.shape[:2] for field, v in sample.items() if FIELDS[field].dims.startswith("HW")}
        if len(sizes) != 1:
            return sample  # of several sizes: what prepares samples names them
        check_holds(self.split.names[i], next(iter(sizes)), self.crop, self.mask)
        if self.mask is not None:
            sample = {field: _forgotten(field, value, self.mask) for field, value in sample.items()}
        if self.crop is not None:
            sample = {field: _cut(field, value, self.crop) for field, value in sample.items()}
        return sample

    def digest(self) -> str:
        """The whole's digest and the rectangles: a cache of other rectangles is another one."""
        return sha256(f"{self.split.digest()} crop {self.crop} mask {self.mask}".encode()).hexdigest()


def check_holds(name: str, size: tuple[int, ...], crop: Rect | None, mask: Rect | None) -> None:
    """Raise DataError unless an image of this size (height, width) holds the rectangles."""
    for setting, rect in (("data.crop_rect", crop), ("data.mask_rect", mask)):
        if rect is not None and (rect[2] > size[0] or rect[3] > size[1]):
            raise DataError(
                f"{name}: expected an image that holds {setting}={rect_text(rect)} (top, left, bottom, right), got "
                f"{size[0]}x{size[1]} (HxW); change the rectangle or leave it out, or bring all images to one size"
            )


def _forgotten(field: str, value: Array, mask: Rect) -> Array:
    """Label maps with their fill, which means unknown, inside the rectangle; other fields as they are."""
    if FIELDS[field].warp != "nearest":
        return value
    top, left, bottom, right = mask
    value = value.copy()
    value[top:bottom, left:right] = FIELDS[field].fill
    return value


def _cut(field: str, value: Array, crop: Rect) -> Array:
    """A field under the translation to the corner of the rectangle; whole pixels need no interpolation."""
    top, left, bottom, right = crop
    if FIELDS[field].dims.startswith("HW"):
        return cut_pixels(value, crop)
    moved = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])
    return warp(field, value, Map(moved, (bottom - top, right - left)))
