"""Framing: how an image of any size is brought to the network's input, and what is found there back to the image.

- `crop`: the image covers the input in its own aspect; what sticks out is cut off,
- `stretch`: the whole image fills the input, whatever their aspects,
- `letterbox`: the whole image fits into the input in its own aspect, centred; the rest is each field's fill.

Training, calibration, validation and prediction use the same framing, and an exported file names it.

Coordinates are continuous pixels, as in `xvision.data.geometry`: a size W spans 0..W, a pixel's centre is at c + 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xvision.data.settings import Data, FramingKind
from xvision.fields import FIELDS

Array = np.ndarray[Any, Any]
Shape = tuple[int, int]


SCALE: dict[FramingKind, str] = {
    "crop": "s_x = s_y = max(W / w, H / h) / crop_ratio",
    "stretch": "s_x = W / w, s_y = H / h",
    "letterbox": "s_x = s_y = min(W / w, H / h)",
}
OFFSET = (
    "o_x = (W - s_x w) / 2, o_y = (H - s_y h) / 2; where s_x = s_y = 1 (to 1e-9) both are rounded to whole pixels, "
    "half to even"
)
COORDINATES = (
    "an image is w px wide and h px high when a step begins, W and H when it ends; x runs from 0 to w and y from 0 "
    "to h, and the pixel in column c and row r has its centre at x = c + 0.5, y = r + 0.5"
)
BACK = {
    "formula": "pixel (c, r) of the image reads the map of m_w x m_h at c' = (s_x (c + 0.5) + o_x) m_w / W - 0.5 and "
    "r' = (s_y (r + 0.5) + o_y) m_h / H - 0.5, with the scale and offset of the step frame for the w x h of the image "
    "after the crop and before any shrinking: that is the image which the result has the size of",
    "linear": "c' and r' are cut to 0 and m - 1, the four pixels around are weighted bilinearly",
    "nearest": "column floor(c' + 0.5), row floor(r' + 0.5), cut to 0 and m - 1",
}
"""The way from an output to the image (see `Inverse`), for files."""


@dataclass(frozen=True)
class Map:
    """Where source pixels go: `matrix` from source (x, y, 1) to target, target `size`, and the depth divisor `zoom`."""

    matrix: Array
    size: Shape
    zoom: float = 1.0

    @property
    def mirrors(self) -> bool:
        return float(np.linalg.det(self.matrix[:2, :2])) < 0


def resize_map(source: Shape, target: Shape) -> Map:
    """The whole source to the whole target, whatever their aspects."""
    return Map(np.diag([target[1] / source[1], target[0] / source[0], 1.0]), target)


@dataclass(frozen=True)
class Framing:
    """One way to bring images to the input; with `crop` only the central `crop_ratio` of the shorter side is used."""

    kind: FramingKind
    crop_ratio: float = 1.0

    def map(self, image_hw: Shape, input_hw: Shape) -> Map:
        """From an image to the input, centred."""
        if self.kind == "stretch":
            return resize_map(image_hw, input_hw)
        zoom = 1 / self.crop_ratio if self.kind == "crop" else 1.0
        return Map(self.placed(image_hw, input_hw, zoom=(zoom, zoom)), input_hw)

    def inverse(self, image_hw: Shape, input_hw: Shape) -> Inverse:
        """From the input back to an image."""
        return Inverse(image_hw, input_hw, self)

    def scale(self, image_hw: Shape, input_hw: Shape) -> tuple[float, float]:
        """Factors along x and y, before any zoom."""
        x, y = input_hw[1] / image_hw[1], input_hw[0] / image_hw[0]
        if self.kind == "stretch":
            return x, y
        factor = max(x, y) if self.kind == "crop" else min(x, y)
        return factor, factor

    def described(self) -> dict[str, Any]:
        """What a file says of it: `map` in words."""
        return {
            "framing": self.kind,
            **({"crop_ratio": self.crop_ratio} if self.kind == "crop" else {}),
            "scale": SCALE[self.kind],
            "offset": OFFSET,
            "formula": "x' = s_x x + o_x, y' = s_y y + o_y",
        }

    def placed(
        self,
        image_hw: Shape,
        input_hw: Shape,
        *,
        zoom: tuple[float, float],
        place: tuple[float, float] = (0.5, 0.5),
        shift_px: tuple[float, float] = (0.0, 0.0),
    ) -> Array:
        """The matrix (3, 3) of this framing, zoomed, placed in the room that is left, and shifted; pairs are x, y.

        `place` 0..1 chooses where to cut off what sticks out, or where to put what a zoom below 1 has made smaller than
        the framing; 0.5 is central. The borders of a letterbox are no room: they stay of one width.
        """
        factors = self.scale(image_hw, input_hw)
        scales = [factors[k] * zoom[k] for k in (0, 1)]
        offsets = []
        for k, side, target in ((0, image_hw[1], input_hw[1]), (1, image_hw[0], input_hw[0])):
            room = target - side * scales[k]
            border = 0.0
            if self.kind == "letterbox":
                border = min(max(room, 0.0), max(target - side * factors[k], 0.0))
            offsets.append((room - border) * place[k] + border / 2)
        if all(math.isclose(scale, 1) for scale in scales):  # nothing to interpolate: keep pixels on pixels
            scales, offsets = [1, 1], [round(offset) for offset in offsets]
        (scale_x, scale_y), (x, y) = scales, offsets
        return np.array([[scale_x, 0.0, x + shift_px[0]], [0.0, scale_y, y + shift_px[1]], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Inverse:
    """From a network's input (or a map of any resolution that spans it) back to an image."""

    image_hw: Shape
    input_hw: Shape
    framing: Framing

    @property
    def is_resize(self) -> bool:
        """Whether the whole input is the whole image."""
        return self.framing.kind == "stretch"

    def points(self, xy: Array) -> Array:
        """Points (..., 2 or more) in pixels of the input, x and y first, as pixels of the image; the rest is kept."""
        matrix = self.framing.map(self.image_hw, self.input_hw).matrix
        back = np.array(xy, np.float64)
        back[..., :2] = (back[..., :2] - matrix[:2, 2]) / matrix.diagonal()[:2]
        return back.astype(xy.dtype)

    def boxes(self, boxes: Array) -> Array:
        """Boxes (N, 4 or more), x0 y0 x1 y1 first, as pixels of the image and clipped to it; the rest is kept."""
        corners = self.points(boxes[:, :4].reshape(-1, 2)).reshape(-1, 4)
        height, width = self.image_hw
        corners = corners.clip(0, [width, height, width, height])
        return np.concatenate([corners, boxes[:, 4:]], axis=1).astype(boxes.dtype)

    def linear(self, maps: Tensor) -> Tensor:
        """Maps (B, C, h, w) as (B, C, H, W) of the image, interpolated linearly.

        Pixels that the network did not see (outside a crop) take the nearest value it gave.

        >>> spanning((1, 4)).linear(torch.tensor([[[[0.0, 4.0]]]])).flatten().tolist()
        [0.0, 1.0, 3.0, 4.0]
        >>> letterbox = Framing("letterbox").inverse((1, 4), (4, 4))
        >>> letterbox.linear(torch.tensor([[[[9.0, 9], [1, 5], [1, 5], [9, 9]]]])).flatten().tolist()
        [1.0, 2.0, 4.0, 5.0]
        """
        if self.is_resize:
            if maps.shape[-2:] == self.image_hw:
                return maps
            return F.interpolate(maps.float(), size=self.image_hw, mode="bilinear", align_corners=False)
        maps = maps.float()
        for axis in (-2, -1):
            at = (self._at(axis, maps) - 0.5).clamp(0, maps.shape[axis] - 1)
            low = at.floor().long()
            high = (low + 1).clamp(max=maps.shape[axis] - 1)
            weight = (at - low) if axis == -1 else (at - low)[:, None]
            maps = torch.lerp(maps.index_select(axis, low), maps.index_select(axis, high), weight)
        return maps

    def nearest(self, maps: Tensor) -> Tensor:
        """Maps (..., h, w) as (..., H, W) of the image: the pixel in which each new centre lies; for ids.

        >>> spanning((1, 4)).nearest(torch.tensor([[3, 7]])).tolist()
        [[3, 3, 7, 7]]
        """
        rows, columns = (self._at(axis, maps).clamp(0, maps.shape[axis] - 1).long() for axis in (-2, -1))
        return maps[..., rows[:, None], columns]

    def flow(self, maps: Tensor) -> Tensor:
        """Vectors (B, 2, h, w) in pixels of the map as (B, 2, H, W) in pixels of the image: they grow with it.

        >>> spanning((2, 4)).flow(torch.ones(1, 2, 1, 1))[0, :, 0, 0].tolist()
        [4.0, 2.0]
        """
        factors = [self._factor_offset(axis, maps.shape[axis])[0] for axis in (-1, -2)]
        return self.linear(maps) / maps.new_tensor(factors, dtype=torch.float32)[:, None, None]

    def _at(self, axis: int, maps: Tensor) -> Tensor:
        """Where along an axis of a map the centres of the image's pixels lie, in pixels of the map."""
        factor, offset = self._factor_offset(axis, maps.shape[axis])
        centres = torch.arange(self.image_hw[axis], device=maps.device) + 0.5
        return centres * factor + offset

    def _factor_offset(self, axis: int, side: int) -> tuple[float, float]:
        """From pixels of the image to those of a map with this side, along axis -2 (y) or -1 (x)."""
        if self.is_resize:
            return side / self.image_hw[axis], 0.0
        matrix = self.framing.map(self.image_hw, self.input_hw).matrix
        k = 0 if axis == -1 else 1
        to_map = side / self.input_hw[axis]
        return float(matrix[k, k]) * to_map, float(matrix[k, 2]) * to_map


@dataclass(frozen=True)
class Framed:
    """How the samples of a batch were framed: what it takes to bring its outputs back to each image."""

    framing: Framing
    input_hw: Shape

    @property
    def spans(self) -> bool:
        """Whether the whole input is the whole image."""
        return self.framing.kind == "stretch"

    def inverse(self, image_hw: Shape) -> Inverse:
        """To an image, or to its labels, of this size."""
        return self.framing.inverse(image_hw, self.input_hw)


def spanning(image_hw: Shape) -> Inverse:
    """The way back for maps of the whole image, whatever their resolution."""
    return Framing("stretch").inverse(image_hw, image_hw)


def framing_of(data: Data, labels: Iterable[str]) -> Framing:
    """What a recipe says, or the default for tasks that learn from these label fields."""
    kind = data.framing or default_framing(labels)
    return Framing(kind, data.crop_ratio if kind == "crop" else 1.0)


def default_framing(labels: Iterable[str]) -> FramingKind:
    """The framing for tasks that learn from these label fields: aspects matter to boxes and joints, and every pixel's
    label is wanted of maps."""
    warps = {FIELDS[label].warp: FIELDS[label].dims for label in labels}
    if warps.keys() & {"boxes", "points"}:
        return "letterbox"
    return "stretch" if any(dims.startswith("HW") for dims in warps.values()) else "crop"
