"""How pictures are laid out for people: a heading over each, rows, a legend below.

Pictures are RGB (H, W, 3); what surrounds them is dark, so that light and dark pictures both end visibly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

Image = np.ndarray[Any, np.dtype[np.uint8]]
Colour = tuple[int, ...]

STRIP_PX = 26
LEAST_WIDTH_PX = 160
_DARK = 24
LIGHT = (235, 235, 235)


def legible(image: Image) -> Image:
    """The image, enlarged by a whole factor where it is too narrow for a line of text."""
    factor = -(-LEAST_WIDTH_PX // image.shape[1])
    return image if factor == 1 else image.repeat(factor, 0).repeat(factor, 1)


def strip(width: int, *texts: str, colour: Colour = LIGHT) -> Image:
    """A dark line of texts: the first at the left end, the last of several at the right end, the others between."""
    line = np.full((STRIP_PX, width, 3), _DARK, np.uint8)
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.45
    for i, text in enumerate(texts):
        free = width - 12 - cv2.getTextSize(text, font, size, 1)[0][0]
        x = 6 + round(free * i / max(1, len(texts) - 1))
        cv2.putText(line, text, (x, 18), font, size, colour, 1, cv2.LINE_AA)
    return line


def legend(width: int, colours: Mapping[str, Colour]) -> Image:
    """Dark lines with a patch of each colour and its name, as many lines as `width` px needs."""
    font, size, patch = cv2.FONT_HERSHEY_SIMPLEX, 0.4, 12
    lines = [np.full((STRIP_PX - 6, width, 3), _DARK, np.uint8)]
    x = 6
    for name, colour in colours.items():
        needed = patch + 5 + cv2.getTextSize(name, font, size, 1)[0][0] + 12
        if x > 6 and x + needed > width:
            lines.append(np.full_like(lines[0], _DARK))
            x = 6
        cv2.rectangle(lines[-1], (x, 4), (x + patch, 4 + patch), colour, cv2.FILLED)
        cv2.putText(lines[-1], name, (x + patch + 5, 14), font, size, LIGHT, 1, cv2.LINE_AA)
        x += needed
    return np.concatenate(lines)


def titled(heading: str, picture: Image) -> Image:
    """A picture below its heading."""
    return np.concatenate([strip(picture.shape[1], heading), picture])


def side_by_side(pictures: Sequence[Image]) -> Image:
    """Pictures in a row, the tops aligned."""
    height = max(picture.shape[0] for picture in pictures)
    padded = [
        np.pad(picture, ((0, height - picture.shape[0]), (0, 0), (0, 0)), constant_values=_DARK)
        for picture in pictures
    ]
    return np.concatenate(padded, axis=1)


def row(pictures: Mapping[str, Image]) -> Image:
    """Pictures in a row, each below its heading."""
    return side_by_side([titled(heading, picture) for heading, picture in pictures.items()])


def column(pictures: Mapping[str, Image]) -> Image:
    """Pictures one below the other, each below its heading, narrow ones enlarged by a whole factor."""
    width = max(picture.shape[1] for picture in pictures.values())
    rows = []
    for heading, picture in pictures.items():
        factor = width // picture.shape[1]
        large = picture.repeat(factor, axis=0).repeat(factor, axis=1)
        padded = np.pad(large, ((0, 0), (0, width - large.shape[1]), (0, 0)), constant_values=_DARK)
        rows.append(titled(heading, padded))
    return np.concatenate(rows)
