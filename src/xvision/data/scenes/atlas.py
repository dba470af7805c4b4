"""One image that holds every texture at several sizes, so that a frame is coloured by a single `cv2.remap`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from xvision.data.scenes.paint import Texture, paint_surroundings
from xvision.data.scenes.paint_objects import paint_objects

MIPS = 4
"""A texture is kept at 1, 1/2, 1/4 and 1/8 of its size: far objects neither flicker nor alias."""
_WIDTH_PX = 2048
_BORDER_PX = 3  # repeated edge, so that interpolation never reaches a neighbour


@dataclass(frozen=True)
class Atlas:
    """All textures: `image` H, W, 4 uint8 is RGB and how much a texel shines by itself."""

    image: np.ndarray[Any, Any]
    places: np.ndarray[Any, Any]  # texture, size, (width, height, left, top) in texels
    index: dict[str, int]

    def __getitem__(self, name: str) -> int:
        return self.index[name]


def _sizes(texture: Texture) -> list[np.ndarray[Any, Any]]:
    sizes = [texture.image]
    while texture.mips and len(sizes) < MIPS and min(sizes[-1].shape[:2]) >= 4:
        height, width = sizes[-1].shape[:2]
        sizes.append(
            cv2.resize(sizes[-1], (max(width // 2, 1), max(height // 2, 1)), interpolation=cv2.INTER_AREA)
        )
    return sizes


@lru_cache(maxsize=1)
def atlas() -> Atlas:
    """Paint and pack all textures; once per process, about 0.3 s and 15 MB."""
    rng = np.random.Generator(np.random.PCG64(20))  # always the same noise
    textures = [*paint_surroundings(rng), *paint_objects(rng)]
    index = {texture.name: i for i, texture in enumerate(textures)}
    places = np.zeros((len(textures), MIPS, 4))
    pieces = [(i, m, image) for i, t in enumerate(textures) for m, image in enumerate(_sizes(t))]
    pieces.sort(key=lambda piece: -piece[2].shape[0])
    left = top = row = 0
    spots = []
    for i, m, image in pieces:  # shelves of falling height
        height, width = (s + 2 * _BORDER_PX for s in image.shape[:2])
        if left + width > _WIDTH_PX:
            left, top, row = 0, top + row, 0
        spots.append((left, top))
        places[i, m:] = (*image.shape[1::-1], left + _BORDER_PX, top + _BORDER_PX)
        left, row = left + width, max(row, height)
    packed = np.zeros((top + row, _WIDTH_PX, 4), np.uint8)
    for (_, _, image), (left, top) in zip(pieces, spots, strict=True):
        padded = cv2.copyMakeBorder(
            image, _BORDER_PX, _BORDER_PX, _BORDER_PX, _BORDER_PX, cv2.BORDER_REPLICATE
        )
        packed[top : top + padded.shape[0], left : left + padded.shape[1]] = padded
    return Atlas(packed, places, index)
