"""The textures of streets and skies: ground, houses, plants, signs, sky.

Everything is painted twice as large and reduced, so that edges are smooth. Colours are RGB; the fourth channel says
how much a texel shines by itself (windows and lamps at night).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np

Array = np.ndarray[Any, Any]
Colour = tuple[float, float, float]

TEXELS_PER_M = 24  # of the ground's nearest band
BANDS_M = (-6, 12, 24, 48, 108)
"""The ground is cut across the street into bands, each with half the texels of the one before."""
NUM_ROADS, NUM_PAVEMENTS, NUM_LAWNS = 6, 6, 4
NUM_FACADES, NUM_WALLS, NUM_ROOFS, NUM_LEAVES, NUM_SKIES = 14, 6, 4, 6, 4
FACADE_M = (14.0, 16.0)  # width and height that a facade's texture covers
SIGNS = ("stop", "limit", "warning", "parking")
SKIES = ("clear", "cloudy", "dusk", "night", "fog")


@dataclass(frozen=True)
class Texture:
    name: str
    image: Array  # H W 4 uint8
    mips: bool = True


def noise(rng: np.random.Generator, height: int, width: int, cell: int) -> Array:
    """Smooth noise in -1..1 with spots of `cell` texels."""
    coarse = rng.random((max(height // cell, 1) + 2, max(width // cell, 1) + 2), np.float32) * 2 - 1
    return np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR))


def material(
    rng: np.random.Generator, height: int, width: int, colour: Colour, amounts: dict[int, float]
) -> Array:
    """A colour with noise: `amounts` maps the size of the spots to their strength in grey levels. H W 3 float32."""
    grey = np.zeros((height, width), np.float32)
    for cell, amount in amounts.items():
        grey += amount * noise(rng, height, width, cell)
    return np.asarray(colour, np.float32) + grey[..., None]


def finish(colours: Array, glow: Array | float = 0.0) -> Array:
    """uint8 RGB and glow of float colours and glow (0-1)."""
    image = np.empty((*colours.shape[:2], 4), np.uint8)
    image[..., :3] = np.clip(colours, 0, 255)
    image[..., 3] = np.clip(np.asarray(glow, np.float32) * 255, 0, 255)
    return image


def toned(colour: Colour, factor: float, plus: float = 0.0) -> Colour:
    """A lighter or darker colour."""
    red, green, blue = (min(c * factor + plus, 250.0) for c in colour)
    return red, green, blue


def halved(image: Array, times: int = 1) -> Array:
    factor = 2**times
    size = (max(image.shape[1] // factor, 1), max(image.shape[0] // factor, 1))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))


def _banded(name: str, ground: Array) -> Iterator[Texture]:
    """Cut a strip of ground (rows from far to near, `TEXELS_PER_M`) into its bands."""
    end = BANDS_M[-1]
    for band, (near, far) in enumerate(pairwise(BANDS_M)):
        rows = slice((end - far) * TEXELS_PER_M, (end - near) * TEXELS_PER_M)
        yield Texture(f"{name}_{band}", finish(halved(ground[rows], band)), mips=False)


def _roads(rng: np.random.Generator) -> Iterator[Texture]:
    length, width = (BANDS_M[-1] - BANDS_M[0]) * TEXELS_PER_M, 192
    for i in range(NUM_ROADS):
        grey = 62 + 13 * i
        ground = material(rng, length, width, (grey + 2, grey, grey + 1 - 3 * (i % 2)), {2: 10, 6: 7, 90: 10})
        for _ in range(14):  # patches where the road was repaired, and cracks
            x, y = int(rng.random() * width), int(rng.random() * length)
            far = (x + int(10 + rng.random() * 50), y + int(20 + rng.random() * 120))
            patch = ground[y : far[1], x : far[0]]
            patch += 24 * (rng.random() - 0.6)
        for _ in range(25):
            start = (rng.random() * width, rng.random() * length)
            steps = np.cumsum((rng.random((9, 2)) - 0.5) * 26, axis=0) + np.array(start)
            cv2.polylines(ground, [steps.astype(np.int32)], False, (grey - 28.0,) * 3, 1)
        for y in range(0, length, 7 * TEXELS_PER_M):  # manholes
            if rng.random() < 0.15:
                cv2.circle(ground, (int(width * (0.2 + 0.6 * rng.random())), y), 5, (grey - 18.0,) * 3, -1)
        paint = (225.0, 222.0, 212.0) if i % 3 else (222.0, 190.0, 80.0)
        for y in range(0, length, 6 * TEXELS_PER_M):
            if i != 4:
                cv2.rectangle(ground, (width // 2 - 2, y), (width // 2 + 1, y + 3 * TEXELS_PER_M), paint, -1)
        if i % 2 == 0:
            for x in (5, width - 9):
                cv2.rectangle(ground, (x, 0), (x + 3, length), (215.0, 212.0, 205.0), -1)
        yield from _banded(f"road_{i}", ground)
        zebra = material(rng, 72, width, (grey, grey, grey), {2: 10, 6: 7})
        for x in range(6, width - 12, 24):
            cv2.rectangle(zebra, (x, 0), (x + 12, 72), (222.0, 220, 214), -1)
        yield Texture(f"zebra_{i}", finish(zebra))


def _pavements(rng: np.random.Generator) -> Iterator[Texture]:
    length, width = (BANDS_M[-1] - BANDS_M[0]) * TEXELS_PER_M, 72
    colours: list[Colour] = [
        (150, 146, 140),
        (128, 124, 120),
        (165, 150, 132),
        (150, 118, 104),
        (112, 112, 116),
        (182, 176, 164),
    ]
    for i in range(NUM_PAVEMENTS):
        ground = material(rng, length, width, colours[i], {2: 9, 5: 6, 60: 8})
        tile = (12, 18, 24, 9, 36, 24)[i]
        joint = toned(colours[i], 0.72)
        for y in range(0, length, tile):
            ground[y : y + tile] += 10 * (rng.random() - 0.5)
            cv2.line(ground, (0, y), (width, y), joint, 1)
        for x in range(0, width, tile):
            cv2.line(ground, (x, 0), (x, length), joint, 1)
        yield from _banded(f"pavement_{i}", ground)
    for i in range(NUM_LAWNS):
        green: Colour = ((92, 112, 58), (76, 104, 52), (122, 124, 72), (104, 92, 66))[i]
        ground = material(rng, length, width, green, {2: 20, 7: 14, 50: 14})
        yield from _banded(f"lawn_{i}", ground)


WALL_COLOURS: tuple[Colour, ...] = (
    (168, 152, 132), (146, 92, 76), (188, 178, 160), (126, 126, 130), (176, 132, 96), (196, 186, 142), (108, 96, 92),
    (150, 164, 172), (202, 196, 190), (128, 74, 62), (160, 140, 150), (112, 122, 116), (186, 150, 120), (92, 98, 110),
)  # fmt: skip


def _wall(rng: np.random.Generator, height: int, width: int, colour: Colour, bricks: bool) -> Array:
    wall = material(rng, height, width, colour, {2: 6, 8: 5, 60: 9})
    if bricks:
        for row, y in enumerate(range(0, height, 7)):
            cv2.line(wall, (0, y), (width, y), toned(colour, 0.8), 1)
            for x in range(7 * (row % 2), width, 14):
                cv2.line(wall, (x, y), (x, y + 7), toned(colour, 0.82), 1)
    return wall


def _facades(rng: np.random.Generator) -> Iterator[Texture]:
    scale = 20  # texels/m, halved at the end
    width, height = (int(m * scale) for m in FACADE_M)
    for i in range(NUM_FACADES):
        colour = WALL_COLOURS[i]
        wall, glow = _wall(rng, height, width, colour, i % 3 == 1), np.zeros((height, width), np.float32)
        floor, pitch = int(scale * (2.9 + 0.5 * rng.random())), int(scale * (1.9 + 1.3 * rng.random()))
        frame: Colour = ((232, 230, 224), (70, 62, 58), (120, 90, 66))[i % 3]
        wide, tall = pitch * (0.5 + 0.22 * rng.random()), floor * (0.5 + 0.12 * rng.random())
        for storey, bottom in enumerate(range(height, floor, -floor)):
            if storey and i % 4 == 2:
                cv2.rectangle(wall, (0, bottom - 4), (width, bottom + 2), toned(colour, 0.82), -1)
            for x in range(pitch // 3, width - int(wide) + 1, pitch):
                lit, high = rng.random() < 0.35, tall * (1.18 if storey == 0 else 1.0)
                x0, x1, y1 = x, int(x + wide), int(bottom - floor * 0.22)
                y0 = int(y1 - high)
                door = storey == 0 and rng.random() < 0.2
                if door:
                    y1 = bottom
                cv2.rectangle(wall, (x0 - 2, y0 - 2), (x1 + 2, y1 + 2), frame, -1)
                sky = 46 + 70 * rng.random()
                glass: Colour = (60, 42, 34) if door else (sky * 0.8, sky * 0.95, sky * 1.1)
                cv2.rectangle(wall, (x0, y0), (x1, y1), glass, -1)
                if not door:
                    cv2.line(wall, (x0, y1), (x1, y0), toned(glass, 1, 30), 2)
                    cv2.line(wall, ((x0 + x1) // 2, y0), ((x0 + x1) // 2, y1), frame, 2)
                    if lit:
                        cv2.rectangle(glow, (x0, y0), (x1, y1), 0.9, -1)
                        wall[y0:y1, x0:x1] = 0.55 * wall[y0:y1, x0:x1] + 0.45 * np.array((255, 214, 140))
        if i % 3 == 0:  # shops: a band of glass under an awning
            top = height - int(2.9 * scale)
            cv2.rectangle(wall, (8, top + 14), (width - 8, height - 12), (64, 74, 84), -1)
            for x in range(8, width, 3 * scale):
                cv2.rectangle(wall, (x, top + 14), (x + 5, height), frame, -1)
            awning: Colour = ((176, 52, 46), (44, 96, 70), (52, 74, 140), (200, 160, 60), (90, 50, 90))[i % 5]
            cv2.rectangle(wall, (0, top - 6), (width, top + 14), awning, -1)
            cv2.rectangle(glow, (8, top + 14), (width - 8, height - 12), 0.7, -1)
        yield Texture(f"facade_{i}", halved(finish(wall, glow)))
    for i in range(NUM_WALLS):
        wall = _wall(rng, height // 2, width // 2, WALL_COLOURS[(3 * i + 1) % NUM_FACADES], i % 2 == 0)
        yield Texture(f"wall_{i}", halved(finish(wall)))
    for i in range(NUM_ROOFS):
        red: Colour = ((134, 70, 54), (86, 84, 88), (110, 86, 70), (150, 92, 66))[i]
        roof = material(rng, 80, 160, red, {2: 8, 20: 8})
        for y in range(0, 80, 8):
            cv2.line(roof, (0, y), (160, y), toned(red, 0.75), 2)
        yield Texture(f"roof_{i}", halved(finish(roof)))


def _plants(rng: np.random.Generator) -> Iterator[Texture]:
    greens: list[Colour] = [
        (62, 92, 44),
        (84, 110, 50),
        (48, 80, 50),
        (112, 116, 52),
        (150, 104, 46),
        (96, 104, 72),
    ]
    for i in range(NUM_LEAVES):
        leaves = material(rng, 128, 128, greens[i], {3: 22, 9: 22, 30: 12})
        leaves += np.linspace(22, -26, 128, dtype=np.float32)[:, None, None]  # light from above
        yield Texture(f"leaves_{i}", halved(finish(leaves)))
    for i, brown in enumerate(((94, 74, 56), (112, 104, 92))):
        trunk = material(rng, 64, 16, brown, {2: 14, 6: 8})
        trunk += np.linspace(14, -18, 16, dtype=np.float32)[None, :, None]
        yield Texture(f"trunk_{i}", finish(trunk))


def _signs(rng: np.random.Generator) -> Iterator[Texture]:
    for i, grey in enumerate(((118, 122, 124), (74, 80, 78), (150, 150, 146))):
        yield Texture(f"pole_{i}", finish(material(rng, 48, 8, grey, {2: 8})))
    yield Texture("lamp", finish(material(rng, 8, 16, (250, 236, 190), {4: 3}), 1.0))
    for name in SIGNS:
        sign = np.full((64, 64, 3), (238.0, 238, 234), np.float32)
        if name == "stop":
            sign[:] = (190, 30, 34)
            cv2.rectangle(sign, (10, 26), (54, 38), (240.0, 240, 240), -1)
        elif name == "limit":
            cv2.circle(sign, (32, 32), 28, (196.0, 30, 34), 9)
            for x in (23, 41):  # two digits
                cv2.ellipse(sign, (x, 32), (6, 10), 0, 0, 360, (20.0, 20, 20), 4)
        elif name == "warning":
            cv2.polylines(sign, [np.array([(32, 5), (61, 59), (3, 59)])], True, (196.0, 30, 34), 9)
            cv2.line(sign, (32, 26), (32, 50), (20.0, 20, 20), 5)
        else:
            sign[:] = (34, 72, 160)
            cv2.line(sign, (24, 12), (24, 54), (244.0, 244, 244), 7)
            cv2.ellipse(sign, (28, 24), (14, 12), 0, -90, 90, (244.0, 244, 244), 6)
        yield Texture(f"sign_{name}", halved(finish(sign)))
    for colour in ("red", "green"):
        light, glow = np.full((60, 24, 3), 34.0, np.float32), np.zeros((60, 24), np.float32)
        y = 12 if colour == "red" else 48
        cv2.circle(light, (12, y), 8, (240.0, 50, 40) if colour == "red" else (60.0, 230, 120), -1)
        cv2.circle(glow, (12, y), 8, 1.0, -1)
        yield Texture(f"light_{colour}", finish(light, glow))


def _skies(rng: np.random.Generator) -> Iterator[Texture]:
    height, width = 96, 192
    ends: dict[str, tuple[Colour, Colour]] = {
        "clear": ((78, 128, 196), (190, 212, 232)),
        "cloudy": ((132, 142, 156), (200, 204, 206)),
        "dusk": ((96, 106, 160), (255, 186, 124)),
        "night": ((14, 18, 36), (46, 48, 66)),
        "fog": ((186, 190, 194), (200, 202, 204)),
    }
    height_up = np.linspace(1, 0, height, dtype=np.float32)[:, None, None]  # 1 at the top, 0 at the horizon
    for name in SKIES:
        top, horizon = (np.asarray(c, np.float32) for c in ends[name])
        for i in range(NUM_SKIES):
            tint = (rng.random(3) - 0.5) * 14
            sky = horizon + (top - horizon) * height_up**0.45 + tint.astype(np.float32)
            clouds = sum(noise(rng, height, width, cell) * cell / 30 for cell in (6, 14, 30, 60))
            cover = np.clip(clouds * 0.8 + {"cloudy": 0.5, "clear": 0.05 * i}.get(name, 0.0), 0, 1)[..., None]
            white = np.asarray((60, 60, 76) if name == "night" else (236, 234, 232), np.float32)
            sky = sky + (white - sky) * cover * {"fog": 0.1, "dusk": 0.35}.get(name, 0.75)
            yield Texture(
                f"sky_{name}_{i}", finish(np.broadcast_to(sky, (height, width, 3)), 1.0), mips=False
            )


def _skylines(rng: np.random.Generator) -> Iterator[Texture]:
    for i, colour in enumerate(((138, 136, 140), (112, 104, 100), (158, 148, 134))):
        far, glow = material(rng, 32, 256, colour, {4: 5, 16: 14}), np.zeros((32, 256), np.float32)
        windows = rng.random((16, 128)) < 0.3
        mask = np.kron(windows, np.ones((2, 2), bool))
        far[mask] *= 0.84
        glow[mask & (rng.random((32, 256)) < 0.3)] = 0.7
        yield Texture(f"skyline_{i}", finish(far, glow))


def paint_surroundings(rng: np.random.Generator) -> Iterator[Texture]:
    """The textures of streets and skies, always in the same order."""
    for painter in (_roads, _pavements, _facades, _plants, _signs, _skies, _skylines):
        yield from painter(rng)
