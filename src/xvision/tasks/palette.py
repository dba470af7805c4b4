"""Maps in colours: classes over the image, depth with its scale, flow with its wheel.

Class colours lie over the image in grey, which changes their brightness and nothing else, so that a legend tells them;
lines stand between regions. What a label does not know is dark or grey, and no colour of any class or depth.
"""

from __future__ import annotations

import colorsys
from typing import Any

import cv2
import numpy as np

from xvision.tasks.visualize import Image, legend, legible, strip

Map = np.ndarray[Any, Any]

UNKNOWN = (72, 72, 72)
"""The colour of unknown in a legend, and of unknown depth."""
_GOLDEN = 0.618033988749895  # steps of the golden ratio spread hues evenly, however many there are
_DARKEST = 0.5  # of a class colour, where the image is black
_LEAST_RATIO = 2.0  # of far over near in a scale of depth: less would show noise as if it were form
_TURBO = (20, 235)  # its ends are too dark to tell from one another


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


def label_overlay(image: Image, labels: Map, colours: Image) -> Image:
    """Class colours in the light and shadow of the image, lines between them; unknown is the image in dark grey.

    Shapes: image (H, W, 3), labels (h, w) of ids.
    """
    labels = resized(labels, image)
    known = labels < len(colours)
    paint = np.where(known[..., None], colours[np.where(known, labels, 0)], UNKNOWN)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] / 255
    light = _DARKEST + (1 - _DARKEST) * grey
    overlay: Image = (paint * light).round().astype(np.uint8)
    overlay[borders(np.where(known, labels, len(colours)))] = 0
    return overlay


def borders(labels: Map) -> Map:
    """Where regions end, as wide as can be seen: (H, W) bool."""
    width_px = max(1, round(min(labels.shape) / 360))
    found = np.zeros(labels.shape, bool)
    found[:, width_px:] |= labels[:, width_px:] != labels[:, :-width_px]
    found[width_px:] |= labels[width_px:] != labels[:-width_px]
    return found


def depth_colours(depth_m: Map, near_m: float, far_m: float) -> Image:
    """Depth from red (near) to blue (far), even in 1 / depth, RGB; unknown pixels (0) are grey."""
    known = depth_m > 0
    inverse = 1 / np.where(known, depth_m, far_m)
    share = (inverse - 1 / far_m) / (1 / near_m - 1 / far_m)
    codes = (_TURBO[0] + (_TURBO[1] - _TURBO[0]) * share.clip(0, 1)).round().astype(np.uint8)
    coloured = cv2.applyColorMap(codes, cv2.COLORMAP_TURBO)[..., ::-1]
    result: Image = np.where(known[..., None], coloured, UNKNOWN).astype(np.uint8)
    return result


def depth_picture(image: Image, depth_m: Map, near_m: float, far_m: float) -> Image:
    """The colours of a depth map as large as the image; below it their scale in metres, and unknown if there is any."""
    coloured = depth_colours(resized(depth_m, image), near_m, far_m)
    width = image.shape[1]
    scale_m = 1 / np.linspace(1 / near_m, 1 / far_m, width)
    bar = depth_colours(np.tile(scale_m, (8, 1)), near_m, far_m)
    marks = strip(width, *(f"{depth:.3g} m" for depth in (near_m, scale_m[width // 2], far_m)))
    unknown = [] if (depth_m > 0).all() else [legend(width, {"unknown": UNKNOWN})]
    return np.concatenate([coloured, bar, marks, *unknown])


def depth_range(depth_m: Map) -> tuple[float, float]:
    """Near and far end of the known depths: 2nd and 98th percentile; 0 and 0 if none is known."""
    known = depth_m[depth_m > 0]
    near, far = np.percentile(known, [2, 98]) if known.size else (0, 0)
    return float(near), float(far)


def depth_scale(*maps: Map) -> tuple[float, float]:
    """Near and far end of a scale for the first map that knows a depth, widened where that map is flat."""
    near, far = next((depth_range(m) for m in maps if (m > 0).any()), (1.0, 10.0))
    wider = max(1.0, _LEAST_RATIO * near / far) ** 0.5
    return near / wider, far * wider


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
    return np.concatenate([picture, strip(picture.shape[1], f"full colour {largest_px:.1f} px")])
