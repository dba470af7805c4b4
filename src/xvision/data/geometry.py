"""One affine map per sample, applied once to every field by its row of `FIELDS`.

Coordinates are continuous pixels: an image of width W spans 0..W, the pixel in column c covers c..c+1 and has its
centre at c + 0.5. A map is a 3x3 matrix from the coordinates of the source to those of the target; a horizontal flip
is x -> W - x. Images, flow and confidence are interpolated linearly, after averaging over areas where the map shrinks
by 2 or more (no aliasing); labels and depth take the nearest source pixel. A target pixel whose centre lies outside the
source gets the field's fill, whatever the field, so that an image and its labels end at the same pixel.

Values follow the map where they are geometric: flow is multiplied by its linear part (zoom, hflip and rotation in
one), metric depth is divided by the *random* zoom (a resize does not move the camera), joints swap sides when flipped.
Boxes are clipped to the target; what lies outside becomes a row of -1 (boxes) or invisible (keypoints), so that rows
of different fields keep belonging together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from xvision.data.dataset import Sample
from xvision.data.framing import Array, Framing, Map, Shape
from xvision.data.joints import Joints
from xvision.data.rng import uniforms
from xvision.data.settings import Augment
from xvision.fields import FIELDS

_AREA_FROM = 2  # shrinking by this factor or more starts with an area average
_MIN_BOX_PX = 1.0  # a box of which clipping leaves less is gone


_NUM_DRAWS = 8

RESAMPLING = {
    "area": "if the whole image becomes the whole target (o_x = o_y = 0, W = s_x w, H = s_y h) and s_x, s_y <= 1: area "
    "averages to H x W, and that is all; else area averages to max(1, round(h / max(1, floor(1 / s_y + 1e-9)))) x "
    "max(1, round(w / max(1, floor(1 / s_x + 1e-9)))), which is nothing unless it shrinks to a half or less; area "
    "averages are those of OpenCV's resize with INTER_AREA, round is half to even",
    "linear": "then each pixel reads what is left of the map, bilinearly between pixel centres, border pixels repeated "
    "(OpenCV's warpAffine with INTER_LINEAR and BORDER_REPLICATE)",
    "fill": "pixels whose centre lies outside the image get the fill",
}
"""How images, flow and confidence are interpolated, for files: what `warp` does under a map without rotation."""


@dataclass(frozen=True)
class Placement:
    """The random choices for one sample, made before its source size is known."""

    zoom_x: float
    zoom_y: float
    place: tuple[float, float]  # 0..1 along x and y, where zoom and aspect leave a choice
    shift_px: tuple[float, float]
    rotate_rad: float
    hflip: bool

    def map(self, source: Shape, target: Shape, framing: Framing) -> Map:
        """The map of a training sample of shape `source`; at zoom 1 it is framed as for validation, but for where it is
        cropped."""
        matrix = framing.placed(
            source, target, zoom=(self.zoom_x, self.zoom_y), place=self.place, shift_px=self.shift_px
        )
        height, width = target
        if self.rotate_rad:
            cos, sin = math.cos(self.rotate_rad), math.sin(self.rotate_rad)
            x, y = width / 2, height / 2
            matrix = (
                np.array([[cos, -sin, x - cos * x + sin * y], [sin, cos, y - sin * x - cos * y], [0, 0, 1]])
                @ matrix
            )
        if self.hflip:
            matrix = np.array([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]]) @ matrix
        return Map(matrix, target, math.sqrt(self.zoom_x * self.zoom_y))


def place_samples(augment: Augment, target: Shape, *key: Any) -> list[Placement]:
    """Random placements for the samples of a batch; `key` is seed, epoch and the array of indices.

    Zoom and aspect are drawn on a logarithmic scale. Shifts are whole pixels of the target, each equally likely: a
    sub-pixel shift only blurs. Where the zoomed sample is larger than the target (or smaller), it is placed anywhere.
    """
    draws = uniforms(*key, count=_NUM_DRAWS)
    low, high = augment.zoom
    zoom = low * (high / low) ** draws[:, 0]
    stretch = augment.aspect ** (
        draws[:, 1] - 0.5
    )  # width over height: stretch squared, within 1/aspect..aspect
    shifts = [
        _whole_shift(augment.shift * side, draws[:, 4 + k]) for k, side in enumerate((target[1], target[0]))
    ]
    angle = np.deg2rad(augment.rotate_deg) * (2 * draws[:, 6] - 1)
    rows = zip(
        (zoom * stretch).tolist(),
        (zoom / stretch).tolist(),
        draws[:, 2].tolist(),
        draws[:, 3].tolist(),
        shifts[0].tolist(),
        shifts[1].tolist(),
        angle.tolist(),
        (draws[:, 7] < augment.hflip).tolist(),
        strict=True,
    )
    return [Placement(zx, zy, (px, py), (sx, sy), a, m) for zx, zy, px, py, sx, sy, a, m in rows]


def _whole_shift(largest_px: float, draws: Array) -> Array:
    if largest_px == 0:
        return np.zeros(len(draws))
    reach = max(1, round(largest_px))
    shifts: Array = np.floor(draws * (2 * reach + 1)) - reach
    return shifts


def warp(
    name: str, value: Array, moved: Map, out: Array | None = None, joints: Joints | None = None
) -> Array:
    """The field `name` under a map; `out` receives it if given (pixel fields only); a mirror swaps `joints`."""
    rule = FIELDS[name]
    if rule.warp == "none":
        return value
    if rule.warp == "boxes":
        return _warp_boxes(value, moved)
    if rule.warp == "points":
        return _warp_points(value, moved, joints if rule.hflip == "swap_joints" else None)
    warped = _warp_pixels(value, moved, rule.warp == "linear", rule.fill, out)
    if rule.zoom == "multiply":
        warped[...] = warped @ moved.matrix[:2, :2].T.astype(warped.dtype)
    elif rule.zoom == "divide" and moved.zoom != 1:
        warped /= moved.zoom
    return warped


def warp_sample(sample: Sample, moved: Map, joints: Joints | None = None) -> Sample:
    """Every field of a sample under one map."""
    return {name: warp(name, value, moved, joints=joints) for name, value in sample.items()}


def _warp_pixels(value: Array, moved: Map, linear: bool, fill: float, out: Array | None) -> Array:
    height, width = moved.size
    if out is None:
        out = np.empty((height, width, *value.shape[2:]), value.dtype)
    matrix = moved.matrix
    if linear:
        value, matrix = _shrink_areas(value, matrix, moved.size)
    back = np.linalg.inv(matrix)
    # cv2 counts from the centre of the first pixel, we from its corner.
    centres = back.copy()
    centres[:2, 2] += 0.5 * (back[:2, 0] + back[:2, 1]) - 0.5
    flags = (cv2.INTER_LINEAR if linear else cv2.INTER_NEAREST) | cv2.WARP_INVERSE_MAP
    cv2.warpAffine(value, centres[:2], (width, height), dst=out, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    _fill_outside(out, back, value.shape[:2], fill)
    return out


def _shrink_areas(value: Array, matrix: Array, target: Shape) -> tuple[Array, Array]:
    """Average areas first where the map shrinks by `_AREA_FROM` or more, and say what is left to do.

    A pure resize to something smaller is done here to its end.
    """
    height, width = value.shape[:2]
    scale_x, scale_y = math.hypot(*matrix[:2, 0]), math.hypot(*matrix[:2, 1])
    if scale_x >= 1 and scale_y >= 1:
        return value, matrix
    size = (
        max(1, round(height / max(1, math.floor(1 / scale_y + 1e-9)))),
        max(1, round(width / max(1, math.floor(1 / scale_x + 1e-9)))),
    )
    resize = np.diag([target[1] / width, target[0] / height, 1.0])
    if scale_x <= 1 and scale_y <= 1 and np.abs(matrix - resize).max() <= 1e-9:
        size = target
    if size == (height, width):
        return value, matrix
    shrunk = cv2.resize(value, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return shrunk, matrix @ np.diag([width / size[1], height / size[0], 1.0])


def _fill_outside(out: Array, back: Array, source: Shape, fill: float) -> None:
    """Write the fill where a target pixel's centre comes from outside the source."""
    height, width = out.shape[:2]
    a, b, c = back[0]
    d, e, f = back[1]
    xs, ys = np.arange(width) + 0.5, np.arange(height) + 0.5
    if b == 0 and d == 0:
        x, y = a * xs + c, e * ys + f
        for rows, side, lines in ((y, source[0], out), (x, source[1], out.swapaxes(0, 1))):
            if rows[0] < 0 or rows[-1] < 0 or rows[0] > side or rows[-1] > side:  # they grow or fall evenly
                lines[(rows < 0) | (rows > side)] = fill
        return
    x, y = a * xs + b * ys[:, None] + c, d * xs + e * ys[:, None] + f
    out[(x < 0) | (x > source[1]) | (y < 0) | (y > source[0])] = fill


def _warp_points(value: Array, moved: Map, joints: Joints | None) -> Array:
    """Keypoints (N, J, 3): x, y and visibility, which becomes 0 outside the target."""
    if moved.mirrors and joints is not None:
        value = value[:, joints.hflipped]
    warped = value.copy()
    warped[..., :2] = value[..., :2] @ moved.matrix[:2, :2].T + moved.matrix[:2, 2]
    x, y = warped[..., 0], warped[..., 1]
    outside = (x < 0) | (x > moved.size[1]) | (y < 0) | (y > moved.size[0])
    warped[outside | (value[..., 2] == 0)] = 0  # COCO writes unlabelled joints as zeros
    return warped


def _warp_boxes(value: Array, moved: Map) -> Array:
    """Boxes (N, 5): the smallest upright box around the warped corners, clipped; rows of -1 where nothing is left."""
    x0, y0, x1, y1 = value[:, :4].T
    corners = np.stack([[x0, y0], [x1, y0], [x0, y1], [x1, y1]])  # 4, 2, N
    x, y = np.einsum("ij,cjn->icn", moved.matrix[:2, :2], corners) + moved.matrix[:2, 2, None, None]
    height, width = moved.size
    whole = np.stack([x.min(0), y.min(0), x.max(0), y.max(0)], axis=1)
    clipped = whole.clip(0, [width, height, width, height])
    before, after = (box[:, 2:] - box[:, :2] for box in (whole, clipped))
    gone = (after < np.minimum(before, _MIN_BOX_PX)).any(1)
    warped = np.concatenate([clipped, value[:, 4:]], axis=1).astype(value.dtype)
    warped[gone | (value[:, 4] < 0)] = -1
    return warped
