"""Pictures of maps: classes over the image, depth in colours with a scale, motion, flow."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

Image = np.ndarray[Any, np.dtype[np.uint8]]
Map = np.ndarray[Any, Any]

UNKNOWN = 255
STRIP_PX = 26
LEAST_WIDTH_PX = 160
_GOLDEN = 0.618033988749895  # steps of the golden ratio spread hues evenly, however many there are


def palette(count: int) -> Image:
    """`count` colours that are told apart, RGB (count, 3): hues in golden steps, light and dark in turns."""
    colours = [
        colorsys.hsv_to_rgb((0.6 + i * _GOLDEN) % 1, (0.85, 0.6)[i % 2], (0.95, 0.7, 0.85)[i % 3])
        for i in range(count)
    ]
    return np.array([[round(255 * part) for part in colour] for colour in colours], np.uint8).reshape(-1, 3)


def resized(values: Map, image: Image) -> Map:
    """A map as large as the image, by the nearest value."""
    height, width = image.shape[:2]
    if values.shape[:2] == (height, width):
        return values
    return cv2.resize(values, (width, height), interpolation=cv2.INTER_NEAREST)


def legible(image: Image) -> Image:
    """The image, enlarged by a whole factor where it is too narrow for a line of text."""
    factor = -(-LEAST_WIDTH_PX // image.shape[1])
    return image if factor == 1 else image.repeat(factor, 0).repeat(factor, 1)


def label_overlay(image: Image, labels: Map, colours: Image, share: float = 0.55) -> Image:
    """Class colours over the image; unknown pixels show the image alone.

    Shapes: image (H, W, 3), labels (h, w) of ids.
    """
    labels = resized(labels, image)
    known = labels < len(colours)
    painted = colours[np.where(known, labels, 0)]
    mixed = (share * painted + (1 - share) * image).round().astype(np.uint8)
    result: Image = np.where(known[..., None], mixed, image)
    return result


def depth_colours(depth_m: Map, near_m: float, far_m: float) -> Image:
    """Depth from red (near) to blue (far), even in 1 / depth, RGB; unknown pixels (0) are black."""
    known = depth_m > 0
    inverse = 1 / np.where(known, depth_m, far_m)
    share = (inverse - 1 / far_m) / max(1 / near_m - 1 / far_m, 1e-9)
    codes = (255 * share.clip(0, 1)).round().astype(np.uint8)
    coloured = cv2.applyColorMap(codes, cv2.COLORMAP_TURBO)[..., ::-1]
    result: Image = np.where(known[..., None], coloured, 0).astype(np.uint8)
    return result


def depth_picture(image: Image, depth_m: Map, near_m: float, far_m: float) -> Image:
    """The colours of a depth map as large as the image, and below it the scale in metres."""
    coloured = depth_colours(resized(depth_m, image), near_m, far_m)
    width = image.shape[1]
    inverse = np.linspace(1 / near_m, 1 / far_m, width)
    bar = depth_colours(np.tile(1 / inverse, (8, 1)), near_m, far_m)
    return np.concatenate([coloured, bar, strip(width, f"{near_m:.3g} m", f"{far_m:.3g} m")])


def depth_range(*maps: Map) -> tuple[float, float]:
    """Near and far ends of a scale that fits the known depths: 2nd and 98th percentile."""
    known = np.concatenate([m[m > 0].ravel() for m in maps]) if maps else np.zeros(0)
    if not known.size:
        return 1.0, 10.0
    near, far = np.percentile(known, [2, 98])
    return max(float(near), 1e-3), max(float(far), 1.01 * float(near))


def flow_colours(flow_px: Map, largest_px: float = 0.0) -> Image:
    """Flow as on a colour wheel, RGB: hue is direction, saturation is length (full at `largest_px`, else the maximum).

    Source: Baker et al., "A Database and Evaluation Methodology for Optical Flow" (2011), section 4.1, with even hues.
    """
    x, y = flow_px[..., 0].astype(np.float32), flow_px[..., 1].astype(np.float32)
    length, angle_deg = cv2.cartToPolar(x, y, angleInDegrees=True)
    full = largest_px or max(float(length.max()), 1e-6)
    hsv = np.stack(
        [angle_deg / 2, 255 * (length / full).clip(0, 1), np.full_like(length, 255)], axis=-1
    ).astype(np.uint8)
    wheel: Image = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB).astype(np.uint8)
    return wheel


def flow_picture(flow_px: Map) -> Image:
    """Flow in colours with the wheel that explains them in a corner, and below it the length at the wheel's rim.

    The rim is the 99th percentile of lengths, at least 1 px: one wrong vector would leave all else white.
    """
    largest_px = max(1.0, float(np.percentile(np.hypot(flow_px[..., 0], flow_px[..., 1]), 99)))
    picture = legible(flow_colours(flow_px, largest_px))
    radius = max(8, min(picture.shape[:2]) // 8)
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1] / radius
    inside = np.hypot(x, y) <= 1
    corner = picture[-2 * radius - 1 :, -2 * radius - 1 :]
    if corner.shape[:2] == inside.shape:
        corner[inside] = flow_colours(np.stack([x, y], axis=-1), 1.0)[inside]
    return np.concatenate([picture, strip(picture.shape[1], f"{largest_px:.1f} px")])


def strip(width: int, left: str, right: str = "") -> Image:
    """A dark line of text."""
    line = np.full((STRIP_PX, width, 3), 24, np.uint8)
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.45
    cv2.putText(line, left, (6, 18), font, size, (235, 235, 235), 1, cv2.LINE_AA)
    if right:
        (text_width, _), _ = cv2.getTextSize(right, font, size, 1)
        cv2.putText(line, right, (width - text_width - 6, 18), font, size, (235, 235, 235), 1, cv2.LINE_AA)
    return line


def legend(width: int, names: Sequence[str], colours: Image) -> Image:
    """Dark lines with a patch of each colour and its name, as many lines as `width` px needs."""
    font, size, patch = cv2.FONT_HERSHEY_SIMPLEX, 0.4, 12
    lines = [np.full((STRIP_PX - 6, width, 3), 24, np.uint8)]
    x = 6
    for name, colour in zip(names, colours, strict=True):
        needed = patch + 5 + cv2.getTextSize(name, font, size, 1)[0][0] + 12
        if x > 6 and x + needed > width:
            lines.append(np.full_like(lines[0], 24))
            x = 6
        cv2.rectangle(lines[-1], (x, 4), (x + patch, 4 + patch), colour.tolist(), cv2.FILLED)
        cv2.putText(lines[-1], name, (x + patch + 5, 14), font, size, (235, 235, 235), 1, cv2.LINE_AA)
        x += needed
    return np.concatenate(lines)


def side_by_side(pictures: Sequence[Image]) -> Image:
    """Pictures in a row, the tops aligned."""
    height = max(picture.shape[0] for picture in pictures)
    padded = [
        np.pad(picture, ((0, height - picture.shape[0]), (0, 0), (0, 0)), constant_values=24)
        for picture in pictures
    ]
    return np.concatenate(padded, axis=1)
