"""Cars, trucks and buses: boxes with a cabin, seen from any side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np

from xvision.data.scenes.atlas import Atlas
from xvision.data.scenes.dice import Dice
from xvision.data.scenes.levels import BUS, CAR, TRUCK
from xvision.data.scenes.paint_objects import CAR_COLOURS, LARGE_COLOURS
from xvision.data.scenes.surfaces import SQUARE, Array, Pose, Thing, box, on_ground, place, plane

_SIDE_SHADE, _END_SHADE = 0.86, 0.94


@dataclass(frozen=True)
class CarBody:
    """A car's shape, m: the cabin stands on the belt and is `taper` narrower at the roof."""

    width: float
    length: float
    belt: float
    height: float
    rear: tuple[float, float]  # where the cabin begins behind, at belt and roof, as fractions of the length
    front: tuple[float, float]
    taper: float = 0.8


CAR_BODIES = (
    CarBody(1.78, 4.5, 0.95, 1.45, (0.08, 0.24), (0.72, 0.55)),  # saloon
    CarBody(1.72, 3.9, 0.98, 1.52, (0.0, 0.07), (0.76, 0.58)),  # hatchback
    CarBody(1.9, 4.6, 1.08, 1.72, (0.0, 0.05), (0.74, 0.6)),  # sport utility
    CarBody(1.92, 4.9, 1.15, 2.0, (0.0, 0.02), (0.84, 0.72), 0.88),  # van
)


def _wheeled(front: float, rear: float, radius: float, floor: float) -> Array:
    """The outline of a flank that ends at `floor` but for two wheels; `radius` in (u, v)."""
    points = [(0.0, 0.0), (1.0, 0.0), (1.0, floor)]
    for centre in (front, rear):
        points += [(centre + radius * x, floor) for x in (1,)]
        points += [
            (centre + radius * x, floor + (1 - floor) * y)
            for x, y in ((0.8, 0.7), (0.4, 1), (-0.4, 1), (-0.8, 0.7))
        ]
        points += [(centre - radius, floor)]
    return np.array([*points, (0.0, floor)])


def _tyred(floor: float, width: float) -> Array:
    """The outline of a front or rear: body to `floor`, then a tyre at each side."""
    return np.array(
        [(0, 0), (1, 0), (1, 1), (1 - width, 1), (1 - width, floor), (width, floor), (width, 1), (0, 1)]
    )  # fmt: skip


def _cabin(b: CarBody) -> tuple[Array, list[Array]]:
    """Rear and front window, left and right windows, roof: planes and outlines."""
    x, x1, rise = b.width / 2 * 0.98, b.width / 2 * b.taper, b.height - b.belt
    (r0, r1), (f0, f1) = (tuple((s - 0.5) * b.length for s in ends) for ends in (b.rear, b.front))
    margin = (x - x1) / (2 * x)
    planes = [
        plane((2 * x, 0, 0), (0, rise, r0 - r1), (-x, -b.height, r1)),
        plane((-2 * x, 0, 0), (0, rise, f0 - f1), (x, -b.height, f1)),
        plane((0, 0, f0 - r0), (x1 - x, rise, 0), (-x1, -b.height, r0)),
        plane((0, 0, f0 - r0), (x - x1, rise, 0), (x1, -b.height, r0)),
        plane((2 * x1, 0, 0), (0, 0, r1 - f1), (-x1, -b.height, f1)),
    ]
    slanted = np.array([(margin, 0), (1 - margin, 0), (1, 1), (0, 1)])
    left, right = (r1 - r0) / (f0 - r0), (f1 - r0) / (f0 - r0)
    flank = np.array([(left, 0), (right, 0), (1, 1), (0, 1)])
    return np.array(planes), [slanted, slanted, flank, flank, SQUARE]


_CAR_FLANK, _CAR_END = _wheeled(0.81, 0.19, 0.08, 0.74), _tyred(0.78, 0.16)
_LARGE_FLANK, _LARGE_END = _wheeled(0.76, 0.2, 0.055, 0.88), _tyred(0.9, 0.2)
_CARGO_FLANK, _CAB_FLANK = _wheeled(0.36, 0.18, 0.075, 0.88), _wheeled(0.52, 0.48, 0.2, 0.86)


@cache
def _car(kind: int) -> tuple[Array, list[Array], list[int]]:
    body = CAR_BODIES[kind]
    planes, facing = box(body.width, body.belt, body.length)
    cabin, outlines = _cabin(body)
    ends = [_CAR_END, _CAR_END, _CAR_FLANK, _CAR_FLANK, SQUARE]
    # the top of the body first: the flanks hide its edges, the cabin stands on it
    order = [4, 0, 1, 2, 3]
    body_planes = planes[order]
    return (
        np.concatenate([body_planes, cabin]),
        [ends[i] for i in order] + outlines,
        [facing[i] for i in order] + facing,
    )


def car_size(kind: int) -> tuple[float, float, float]:
    """Width, height and length, m."""
    body = CAR_BODIES[kind]
    return body.width, body.height, body.length


def car(
    dice: Dice, atlas: Atlas, poses: tuple[Pose, Pose], kind: int, distance: float, *, moving: bool
) -> Thing:
    planes, outlines, facing = _car(kind)
    paint = f"car_{dice.integer(len(CAR_COLOURS))}_"
    top, flank = atlas[paint + "top"], atlas[paint + "side"]
    window, side = atlas["glass_front"], atlas["glass_side"]
    return Thing(
        label=CAR,
        distance=distance,
        planes=place(planes, poses),
        outlines=outlines,
        textures=[
            top,
            atlas[paint + "rear"],
            atlas[paint + "front"],
            flank,
            flank,
            window,
            window,
            side,
            side,
            top,
        ],
        shades=[1, _END_SHADE, _END_SHADE, _SIDE_SHADE, _SIDE_SHADE, 1, 1, _SIDE_SHADE, _SIDE_SHADE, 1],
        facing=facing,
        moving=moving,
        shadow=on_ground(CAR_BODIES[kind].width + 0.25, CAR_BODIES[kind].length + 0.2, poses),
    )


BUS_SIZE = (2.5, 3.1, 9.5)
TRUCK_SIZE = (2.45, 3.3, 7.6)
_CAB_M = 1.9


@cache
def _bus() -> tuple[Array, list[int]]:
    return box(*BUS_SIZE)


@cache
def _truck() -> tuple[Array, list[int]]:
    width, height, length = TRUCK_SIZE
    cargo, facing = box(width, height, length - _CAB_M - 0.15, back=-length / 2)
    cab, _ = box(width * 0.96, height * 0.82, _CAB_M, back=length / 2 - _CAB_M)
    return np.concatenate([cargo, cab]), facing


def bus(dice: Dice, atlas: Atlas, poses: tuple[Pose, Pose], distance: float, *, moving: bool) -> Thing:
    planes, facing = _bus()
    i = dice.integer(len(LARGE_COLOURS))
    flank = atlas[f"bus_{i}_side"]
    return Thing(
        label=BUS,
        distance=distance,
        planes=place(planes, poses),
        outlines=[_LARGE_END, _LARGE_END, _LARGE_FLANK, _LARGE_FLANK, SQUARE],
        textures=[atlas[f"bus_{i}_rear"], atlas[f"bus_{i}_front"], flank, flank, atlas[f"large_{i}_top"]],
        shades=[_END_SHADE, _END_SHADE, _SIDE_SHADE, _SIDE_SHADE, 1],
        facing=facing,
        moving=moving,
        shadow=on_ground(BUS_SIZE[0] + 0.3, BUS_SIZE[2] + 0.2, poses),
    )


def truck(
    dice: Dice,
    atlas: Atlas,
    poses: tuple[Pose, Pose],
    distance: float,
    camera: tuple[float, float],
    *,
    moving: bool,
) -> Thing:
    planes, facing = _truck()
    i = dice.integer(len(LARGE_COLOURS))
    flank, cab = atlas[f"truck_{i}_side"], atlas[f"cab_{i}_side"]
    top = atlas[f"large_{i}_top"]
    textures = [atlas[f"truck_{i}_rear"], atlas[f"truck_{i}_rear"], flank, flank, top]
    textures += [atlas[f"cab_{i}_front"], atlas[f"cab_{i}_front"], cab, cab, top]
    ends = [_LARGE_END, _LARGE_END, _CARGO_FLANK, _CARGO_FLANK, SQUARE]
    outlines = [*ends, _LARGE_END, _LARGE_END, _CAB_FLANK, _CAB_FLANK, SQUARE]
    # the half that is farther from the camera is drawn first; a plane between the halves decides
    x, z, heading = poses[1]
    ahead = (camera[0] - x) * math.sin(heading) + (camera[1] - z) * math.cos(heading)
    order = [*range(10)] if ahead > TRUCK_SIZE[2] / 2 - _CAB_M else [*range(5, 10), *range(5)]
    return Thing(
        label=TRUCK,
        distance=distance,
        planes=place(planes[order], poses),
        outlines=[outlines[i] for i in order],
        textures=[textures[i] for i in order],
        shades=[_END_SHADE, _END_SHADE, _SIDE_SHADE, _SIDE_SHADE, 1] * 2,
        facing=facing * 2,
        moving=moving,
        shadow=on_ground(TRUCK_SIZE[0] + 0.3, TRUCK_SIZE[2] + 0.2, poses),
    )
