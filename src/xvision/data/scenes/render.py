"""From a world to pixels: which surface each pixel sees, and what follows from it.

Surfaces are filled from far to near into a map of surface numbers, `SUPERSAMPLE` times as fine as the image. The
plane of a surface is a 3x3 matrix M from (u, v, 1) to pixels times depth, so the inverse gives for a pixel p

    inverse(M) (p, 1) = (u, v, 1) / depth

that is, the texture coordinate and the depth at once, and M of t-1 times it is the pixel of the same spot at t-1:
flow. One `cv2.LUT` for each of the nine numbers spreads the matrices over the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from xvision.data.scenes.atlas import MIPS, atlas
from xvision.data.scenes.layout import World
from xvision.data.scenes.levels import SKY
from xvision.data.scenes.surfaces import DISC, SQUARE, Array, Thing

SUPERSAMPLE = 2
"""Samples of a pixel across and down. Labels are those of the lower right one, a quarter of a pixel from the centre;
3 x 3 samples have one in the centre, but take 40 % longer and look the same."""
NEAR_M = 0.3
MAX_DEPTH_M = 120.0
_MOST_SURFACES = 256
_STRIP = 1 << 18  # samples worked on at once: they stay in the cache
_BITS = 4  # of the fraction of a polygon's corner


@lru_cache(maxsize=8)
def _grid(size: tuple[int, int], factor: int) -> tuple[Array, Array]:
    """Positions of the samples of a row and of a column, in pixels."""
    middle = (factor - 1) / 2
    x, y = ((np.arange(n * factor, dtype=np.float32) - middle) / factor for n in size[::-1])
    return x[None, :].astype(np.float32), y[:, None].astype(np.float32)


def _table(values: Array) -> Array:
    """Values of all surfaces in their last axis -> tables for `cv2.LUT`."""
    table = np.zeros((*values.shape[:-1], _MOST_SURFACES), values.dtype)
    table[..., : values.shape[-1]] = values
    return table


def _rows(matrices: Array) -> Array:
    """Matrices K, 3, 3 -> rows, columns, 256 float32: a table for each of the nine numbers."""
    return _table(matrices.transpose(1, 2, 0).astype(np.float32))


def _spread(table: Array, ids: Array) -> Array:
    """A number for each surface -> an image of them."""
    image: Array = cv2.LUT(ids, table)
    return image


def _linear(row: Array, ids: Array, grid: tuple[Array, Array]) -> Array:
    """a x + b y + c at each sample; the row of tables holds (a, b, c) of each surface."""
    total, second = _spread(row[0], ids), _spread(row[1], ids)
    total *= grid[0]
    second *= grid[1]
    total += second
    total += _spread(row[2], ids)
    return total


def _inverses(m: Array) -> tuple[Array, Array]:
    """Inverses of (..., 3, 3) and their determinants; 0 where there is none."""
    (a, b, c), (d, e, f), (g, h, i) = (tuple(m[..., r, k] for k in range(3)) for r in range(3))
    inverse = np.empty_like(m)
    inverse[..., 0, 0], inverse[..., 0, 1], inverse[..., 0, 2] = e * i - f * h, c * h - b * i, b * f - c * e
    inverse[..., 1, 0], inverse[..., 1, 1], inverse[..., 1, 2] = f * g - d * i, a * i - c * g, c * d - a * f
    inverse[..., 2, 0], inverse[..., 2, 1], inverse[..., 2, 2] = d * h - e * g, b * g - a * h, a * e - b * d
    determinant = a * inverse[..., 0, 0] + b * inverse[..., 1, 0] + c * inverse[..., 2, 0]
    safe = np.where(np.abs(determinant) > 1e-9, determinant, np.inf)
    return inverse / safe[..., None, None], determinant


def _clipped(matrix: Array, outline: Array) -> list[tuple[float, float]]:
    """The part of an outline in front of the camera, in pixels (Sutherland and Hodgman)."""
    points = (outline @ matrix[:, :2].T + matrix[:, 2]).tolist()
    kept = []
    before = points[-1]
    for x, y, z in points:
        if (z >= NEAR_M) != (before[2] >= NEAR_M):
            part = (NEAR_M - before[2]) / (z - before[2])
            kept.append(
                ((before[0] + (x - before[0]) * part) / NEAR_M, (before[1] + (y - before[1]) * part) / NEAR_M)
            )
        if z >= NEAR_M:
            kept.append((x / z, y / z))
        before = (x, y, z)
    return kept


def _reduced(fine: Array) -> Array:
    """Means of the samples of each pixel."""
    height, width = (n // SUPERSAMPLE for n in fine.shape[:2])
    return np.asarray(cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA))


@dataclass
class DrawnFrame:
    """What one camera sees: the surface at each sample and the matrices behind it."""

    ids: Array  # H*S W*S uint8
    shadow: Array  # H*S W*S uint8, 255 in the shadow of something


class Renderer:
    """Both frames of a world at one image size."""

    def __init__(self, world: World, size: tuple[int, int]) -> None:
        self.world, self.size = world, size
        shadows = [
            Thing(-1, 0.0, t.shadow, [DISC if t.round_shadow else SQUARE], [0])
            for t in world.things
            if t.shadow is not None
        ]
        room = _MOST_SURFACES - sum(t.planes.shape[1] for t in [*world.ground, *shadows])
        things: list[Thing] = []
        for thing in reversed(world.things):  # near ones first, until there is no number left
            room -= thing.planes.shape[1]
            if room < 0:
                break
            things.append(thing)
        self.things = [*world.ground, *shadows, *reversed(things)]
        self.first_thing = len(world.ground) + len(shadows)
        self._collect()
        self.frames = [self._frame(0), self._frame(1)]

    def _collect(self) -> None:
        """All surfaces as arrays, and their matrices at both frames."""
        things, counts = self.things, np.array([t.planes.shape[1] for t in self.things])
        self.owner = np.repeat(np.arange(len(things)), counts)  # thing of each surface
        self.start = np.concatenate([[0], np.cumsum(counts)])  # first surface of each thing
        outlines = [outline for t in things for outline in t.outlines]
        self.lengths = np.array([len(o) for o in outlines])
        self.corners = np.concatenate(outlines)
        self.of_corner = np.repeat(np.arange(len(outlines)), self.lengths)
        self.ends = np.concatenate([[0], np.cumsum(self.lengths)])
        self.outlines = outlines
        self.texture = np.array([i for t in things for i in t.textures])
        self.facing = np.array([f for t, n in zip(things, counts, strict=True) for f in t.facing or [0] * n])
        self.shade = np.array([s for t, n in zip(things, counts, strict=True) for s in t.shades or [1.0] * n])
        planes = np.concatenate([t.planes for t in things], axis=1)
        cameras = self.world.cameras
        planes[..., 2] -= np.array([c.position for c in cameras])[:, None]
        self.planes = planes
        self.matrices = np.stack([c.matrix(self.size) for c in cameras])[:, None] @ planes
        self.inverses, self.determinants = _inverses(self.matrices)
        self.places = self._places()

    def _frame(self, frame: int) -> DrawnFrame:
        """Fill the surfaces from far to near."""
        height, width = (n * SUPERSAMPLE for n in self.size)
        ids, shadow = np.zeros((height, width), np.uint8), np.zeros((height, width), np.uint8)
        m = self.matrices[frame].take(self.of_corner, axis=0)
        x, y, z = (m[:, :, :2] @ self.corners[:, :, None])[:, :, 0].T + m[:, :, 2].T
        nearest = np.minimum.reduceat(z, self.ends[:-1])
        scale = 1 / np.maximum(z, NEAR_M)
        x, y = ((p * scale * SUPERSAMPLE + (SUPERSAMPLE - 1) / 2) for p in (x, y))
        seen = (self.facing * self.determinants[frame] >= 0) & (np.abs(self.determinants[frame]) > 1e-9)
        whole = nearest >= NEAR_M
        starts = self.ends[:-1]
        inside = (np.maximum.reduceat(x, starts) > -1) & (np.minimum.reduceat(x, starts) < width)
        inside &= (np.maximum.reduceat(y, starts) > -1) & (np.minimum.reduceat(y, starts) < height)
        seen &= inside | ~whole
        points = np.rint(np.stack([x, y], 1) * 2**_BITS).astype(np.int32)
        first, last = self.start[len(self.world.ground)], self.start[self.first_thing]
        ends = self.ends
        for i in np.flatnonzero(seen).tolist():
            if whole[i]:
                corners = points[ends[i] : ends[i + 1]]
            else:
                clipped = _clipped(self.matrices[frame, i], self.outlines[i])
                if len(clipped) < 3:
                    continue
                flat = np.array(clipped) * SUPERSAMPLE + (SUPERSAMPLE - 1) / 2
                corners = np.rint(np.clip(flat, -1e5, 1e5) * 2**_BITS).astype(np.int32)
            if first <= i < last:
                cv2.fillPoly(shadow, [corners], 255, cv2.LINE_8, _BITS)
            else:
                cv2.fillPoly(ids, [corners], i, cv2.LINE_8, _BITS)
        return DrawnFrame(ids, shadow)

    def _places(self) -> Array:
        """Where in the atlas each surface's texture is, of the size that fits its size in the image: K, 4."""
        places = atlas().places[self.texture]
        size_m = np.sqrt((self.planes[1, :, :, :2] ** 2).sum(1))  # K, 2: lengths of U and V
        middle = self.planes[1] @ np.array((0.5, 0.5, 1.0))
        far = np.maximum(np.sqrt((middle**2).sum(1)), 2.0)
        focal = self.world.cameras[1].focal * max(self.size) * SUPERSAMPLE
        texels = (places[:, 0, :2] * far[:, None] / (size_m * focal)).min(1)
        mip = np.clip(np.floor(np.log2(np.maximum(texels, 1e-6))), 0, MIPS - 1).astype(np.intp)
        return np.asarray(places[np.arange(len(mip)), mip])

    def texel_matrices(self, frame: int) -> Array:
        """From pixels to places in the atlas times 1 / depth."""
        inverse = self.inverses[frame]
        to_texels: Array = inverse.copy()
        for k in (0, 1):
            size, first = self.places[:, k, None], self.places[:, 2 + k, None]
            to_texels[:, k] = inverse[:, k] * size + inverse[:, 2] * (first - 0.5)
        return to_texels

    def colours(self, frame: int) -> tuple[Array, Array]:
        """Colour and glow (H, W, 4 uint8) and shading (H, W uint8) without light, haze or noise."""
        ids, (column, row) = self.frames[frame].ids, _grid(self.size, SUPERSAMPLE)
        rows, first = _rows(self.texel_matrices(frame)), self.places[:, 2:].T
        low, high = (_table(edge.astype(np.float32)) for edge in (first, first + self.places[:, :2].T - 1))
        fine = np.empty((*ids.shape, 4), np.uint8)
        step = max(_STRIP // ids.shape[1], 1)
        for top in range(0, len(ids), step):
            strip = slice(top, top + step)
            part, grid = ids[strip], (column, row[strip])
            depth = np.reciprocal(np.maximum(_linear(rows[2], part, grid), 1e-9))
            x, y = (_linear(rows[k], part, grid) for k in (0, 1))
            x *= depth
            y *= depth
            for k, at in enumerate((x, y)):
                np.maximum(at, _spread(low[k], part), out=at)
                np.minimum(at, _spread(high[k], part), out=at)
            cv2.remap(atlas().image, x, y, cv2.INTER_LINEAR, dst=fine[strip])
        shade = _spread(_table(np.rint(self.shade * 255).astype(np.uint8)), ids)
        dark = np.zeros(_MOST_SURFACES, np.uint8)
        dark[: self.start[len(self.world.ground)]] = 96  # shadows fall on the ground only
        cv2.subtract(shade, cv2.bitwise_and(cv2.LUT(ids, dark), self.frames[frame].shadow), dst=shade)
        return _reduced(fine), _reduced(shade)

    def ids(self, frame: int) -> Array:
        """The surface at the centre of each pixel, H W uint8."""
        middle = SUPERSAMPLE // 2
        return np.ascontiguousarray(self.frames[frame].ids[middle::SUPERSAMPLE, middle::SUPERSAMPLE])

    def inverse_depth(self, frame: int, ids: Array) -> Array:
        """1 / m at the centre of each pixel; about 0 in the sky."""
        return _linear(_rows(self.inverses[frame])[2], ids, _grid(self.size, 1))

    def spots(self, ids: Array) -> tuple[Array, Array]:
        """(u, v) of what each pixel of t sees on its surface.

        Kept within the outline's square: a filled polygon takes in samples up to half a sample outside, where a
        surface seen at a grazing angle would already be kilometres away.
        """
        rows, grid = _rows(self.inverses[1]), _grid(self.size, 1)
        z = np.reciprocal(np.maximum(_linear(rows[2], ids, grid), 1e-9))
        u, v = (_linear(rows[k], ids, grid) for k in (0, 1))
        u *= z
        v *= z
        return np.clip(u, 0, 1, out=u), np.clip(v, 0, 1, out=v)

    def depth(self, ids: Array, labels: Array, spots: tuple[Array, Array]) -> Array:
        """Metres along the camera's axis at t, 0 in the sky and beyond `MAX_DEPTH_M`."""
        depth = _linear(_rows(self.matrices[1])[2], ids, spots)
        depth[(depth > MAX_DEPTH_M) | (labels == SKY)] = 0
        return depth

    def flow(self, ids: Array, spots: tuple[Array, Array]) -> Array:
        """Pixels from t-1 to t of what is seen at each pixel of t: it was at (x, y) - flow."""
        flow = np.empty((*self.size, 2), np.float32)
        before, now = _rows(self.matrices[0]), _rows(self.matrices[1])
        far_before, far = (np.maximum(_linear(rows[2], ids, spots), NEAR_M) for rows in (before, now))
        for k in (0, 1):
            flow[..., k] = _linear(now[k], ids, spots) / far - _linear(before[k], ids, spots) / far_before
        return flow

    def labels(self, ids: Array) -> tuple[Array, Array, Array]:
        """Semantic class, motion and number of the thing at each pixel, uint8."""
        label = np.array([max(t.label, 0) for t in self.things], np.uint8)[self.owner]
        moving = np.array([t.moving for t in self.things], np.uint8)[self.owner]
        tables = _table(np.stack([label, moving, self.owner.astype(np.uint8)]))
        return _spread(tables[0], ids), _spread(tables[1], ids), _spread(tables[2], ids)

    def projected(self, thing: int, frame: int = 1) -> Array:
        """Corners (x, y) in px of all surfaces of a thing that are in front of the camera."""
        part = slice(self.ends[self.start[thing]], self.ends[self.start[thing + 1]])
        m = self.matrices[frame].take(self.of_corner[part], axis=0)
        points = (m[:, :, :2] @ self.corners[part, :, None])[:, :, 0] + m[:, :, 2]
        points = points[points[:, 2] >= NEAR_M]
        return np.asarray(points[:, :2] / points[:, 2:])


def positions(renderer: Renderer, points: Array, frame: int = 1) -> Array:
    """Pixels and depth (x, y, z) of world points N, 3."""
    camera = renderer.world.cameras[frame]
    seen: Any = (points - np.array(camera.position)) @ camera.matrix(renderer.size).T
    seen[:, :2] /= np.maximum(seen[:, 2:], NEAR_M)
    return np.asarray(seen)
