"""The street itself: ground, houses, plants, lamps and signs, the view's end and the sky."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from xvision.data.scenes.atlas import Atlas
from xvision.data.scenes.dice import Dice
from xvision.data.scenes.levels import BUILDING, POLE, ROAD, SIDEWALK, SKY, VEGETATION
from xvision.data.scenes.paint import (
    BANDS_M,
    FACADE_M,
    NUM_FACADES,
    NUM_LAWNS,
    NUM_LEAVES,
    NUM_PAVEMENTS,
    NUM_ROADS,
    NUM_ROOFS,
    NUM_SKIES,
    NUM_WALLS,
    SIGNS,
)
from xvision.data.scenes.surfaces import CAPSULE, DISC, SQUARE, Array, Plane, Thing, box, place, plane, still

VIEW_END_M = 98.0
_SKY_M = 1e4  # so far that the camera's way does not move it
_SIDE_M = 45.0  # how far the ground goes to the sides


@dataclass(frozen=True)
class Street:
    """The plan of a street, m; `side` -1 is left and +1 right."""

    half_width: float  # of the carriageway, parking places included
    parking: float  # width of the parking places at each side, 0: none
    pavement: tuple[float, float]  # widths, left and right
    front: tuple[float, float]  # distance of the house fronts from the middle
    built: tuple[float, float]  # chance of a house at each place
    tall: tuple[float, float]  # typical height of the houses
    crossing: tuple[float, float] | None  # z from, to of a street that crosses


def street_plan(dice: Dice) -> Street:
    parking = 2.3 if dice.chance(0.6) else 0.0
    built = tuple(dice.pick((0.95, 0.9, 0.6, 0.25)) for _ in range(2))
    tall = dice.uniform(6, 14)
    pavement = (dice.uniform(1.8, 4.0), dice.uniform(1.8, 4.0))
    half = dice.uniform(3.0, 4.3) + parking
    front = tuple(half + p + (dice.uniform(0, 5) if dice.chance(0.45) else 0.1) for p in pavement)
    start = dice.uniform(9, 34)
    return Street(
        half_width=half,
        parking=parking,
        pavement=pavement,
        front=(front[0], front[1]),
        built=(built[0], built[1]),
        tall=(tall * dice.uniform(0.7, 1.3), tall * dice.uniform(0.7, 1.3)),
        crossing=(start, start + dice.uniform(6, 9)) if dice.chance(0.4) else None,
    )


def _strip(atlas: Atlas, name: str, label: int, x0: float, x1: float) -> Thing:
    """A strip of ground along the whole street."""
    planes, textures = [], []
    for band, (near, far) in enumerate(pairwise(BANDS_M)):
        planes.append(plane((x1 - x0, 0, 0), (0, 0, near - far), (x0, 0, far)))
        textures.append(atlas[f"{name}_{band}"])
    return Thing(label, 0.0, still(planes), [SQUARE] * len(planes), textures)


def _patch(
    atlas: Atlas, name: str, label: int, x: tuple[float, float], z: tuple[float, float], *, across: bool
) -> Thing:
    """A rectangle of ground with one texture, which runs along x if `across`."""
    wide, long = x[1] - x[0], z[1] - z[0]
    if across:
        flat = plane((0, 0, long), (wide, 0, 0), (x[0], 0, z[0]))
    else:
        flat = plane((wide, 0, 0), (0, 0, -long), (x[0], 0, z[1]))
    return Thing(label, 0.0, still([flat]), [SQUARE], [atlas[name]])


def ground(dice: Dice, atlas: Atlas, plan: Street) -> list[Thing]:
    """Carriageway, pavements, what lies beside them, crossing street and zebra, in drawing order."""
    road, half = dice.integer(NUM_ROADS), plan.half_width
    things = [_strip(atlas, f"road_{road}", ROAD, -half, half)]
    paved = f"pavement_{dice.integer(NUM_PAVEMENTS)}"
    for i, side in enumerate((-1, 1)):
        edge = half + plan.pavement[i]
        green = plan.built[i] < 0.8 or dice.chance(0.3)
        yard = f"lawn_{dice.integer(NUM_LAWNS)}" if green else f"pavement_{dice.integer(NUM_PAVEMENTS)}"
        for name, label, near, far in (
            (yard, VEGETATION if green else SIDEWALK, edge, _SIDE_M),
            (paved, SIDEWALK, half, edge),
        ):
            things.append(_strip(atlas, name, label, *sorted((side * near, side * far))))
    if plan.crossing is not None:
        arms = ((-_SIDE_M, -half), (half, _SIDE_M))
        things += [_patch(atlas, f"road_{road}_2", ROAD, x, plan.crossing, across=True) for x in arms]
        things.append(
            _patch(
                atlas, f"road_{4 if road % 2 == 0 else 5}_2", ROAD, (-half, half), plan.crossing, across=False
            )
        )
    if dice.chance(0.4):
        z = plan.crossing[0] - 4 if plan.crossing is not None else dice.uniform(7, 25)
        things.append(_patch(atlas, f"zebra_{road}", ROAD, (-half, half), (z, z + 3), across=False))
    return things


def sky(dice: Dice, atlas: Atlas, light: str) -> Thing:
    flat = plane((4.4 * _SKY_M, 0, 0), (0, 2.4 * _SKY_M, 0), (-2.2 * _SKY_M, -2.25 * _SKY_M, _SKY_M))
    return Thing(SKY, 2 * _SKY_M, still([flat]), [SQUARE], [atlas[f"sky_{light}_{dice.integer(NUM_SKIES)}"]])


def view_end(dice: Dice, atlas: Atlas) -> list[Thing]:
    """Far houses or trees that close the street."""
    things = []
    for x in (-140.0, 0.0):
        town = dice.chance(0.6)
        high = dice.uniform(9, 26) if town else dice.uniform(6, 13)
        tops, u = [], 0.0
        while u < 1:
            v, step = dice.uniform(0, 0.6), dice.uniform(0.03, 0.1) if town else 0.03
            tops += [(u, v), (min(u + step, 1.0), v if town else dice.uniform(0, 0.6))]
            u += step
        texture = f"skyline_{dice.integer(3)}" if town else f"leaves_{dice.integer(NUM_LEAVES)}"
        flat = plane((140, 0, 0), (0, high, 0), (x, -high, VIEW_END_M))
        outline = np.array([*tops, (1, 1), (0, 1)], float)
        things.append(
            Thing(
                BUILDING if town else VEGETATION, 2 * VIEW_END_M, still([flat]), [outline], [atlas[texture]]
            )
        )
    return things


def _house(dice: Dice, atlas: Atlas, side: int, x: float, z: float, length: float, height: float) -> Thing:
    """A house whose front stands at `x`, from `z` on, perhaps with a gable."""
    deep, stretch = dice.uniform(8, 12), max(1.0, height / FACADE_M[1])
    wide, tall = FACADE_M[0], FACADE_M[1] * stretch
    u, v = length / wide, 1 - height / tall
    front = plane((0, 0, side * -wide), (0, tall, 0), (x, -tall, z + length if side > 0 else z))
    gabled = height < 10 and dice.chance(0.7)
    rise = dice.uniform(2, 3.5) if gabled else 0.0
    left = x if side > 0 else x - deep
    high = height + rise
    wall = plane((deep, 0, 0), (0, high, 0), (left, -high, z))
    eave = rise / high
    end = np.array([(0, eave), (0.5, 0), (1, eave), (1, 1), (0, 1)])
    planes, outlines = [wall, front], [end, np.array([(0, v), (u, v), (u, 1), (0, 1)])]
    facade = dice.integer(NUM_FACADES)
    windows = dice.chance(0.6)
    flank = f"facade_{facade}" if windows else f"wall_{dice.integer(NUM_WALLS)}"
    textures = [atlas[flank], atlas[f"facade_{facade}"]]
    if gabled:
        slope = (side * deep / 2, -rise, 0.0)
        planes.append(
            plane(
                (0, 0, side * -length),
                (-slope[0], rise, 0),
                (x + slope[0], -high, z + length if side > 0 else z),
            )
        )
        outlines.append(SQUARE)
        textures.append(atlas[f"roof_{dice.integer(NUM_ROOFS)}"])
    lit = dice.uniform(0.75, 1.0)
    return Thing(
        BUILDING,
        z + length,
        still(planes),
        outlines,
        textures,
        shades=[1.72 - lit, lit, 1.0][: len(planes)],
        facing=[1] * len(planes),
    )


def houses(
    dice: Dice, atlas: Atlas, plan: Street, in_view: Callable[[float, float, float], bool]
) -> list[Thing]:
    """Rows of houses at both sides; between them hedges, or nothing where a street crosses."""
    things = []
    for i, side in enumerate((-1, 1)):
        z = dice.uniform(3, 8)
        while z < 92:
            length = dice.uniform(8, 13.9)
            if plan.crossing is not None and z < plan.crossing[1] + 1 and z + length > plan.crossing[0] - 1:
                z = plan.crossing[1] + 1.5
                continue
            x = side * (plan.front[i] + (dice.uniform(0, 1.5) if dice.chance(0.3) else 0.0))
            if not in_view(
                x, z + length, 0.0
            ):  # nor is what is nearer: the far end is the last to leave the view
                pass
            elif dice.chance(plan.built[i]):
                height = max(4.0, plan.tall[i] * dice.uniform(0.65, 1.35))
                things.append(_house(dice, atlas, side, x, z, length, height))
            elif dice.chance(0.5):
                things.append(_hedge(dice, atlas, x + side * 0.5, z, length))
            z += length + (dice.uniform(0.5, 5) if dice.chance(1.1 - plan.built[i]) else 0.0)
    return things


def _hedge(dice: Dice, atlas: Atlas, x: float, z: float, length: float) -> Thing:
    local, facing = box(dice.uniform(0.6, 1.0), dice.uniform(0.8, 1.9), length)
    planes = place(local, ((x, z + length / 2, 0.0),) * 2)
    leaves = atlas[f"leaves_{dice.integer(NUM_LEAVES)}"]
    return Thing(
        VEGETATION,
        z + length,
        planes,
        [SQUARE] * 5,
        [leaves] * 5,
        [0.9, 1, 0.8, 0.8, 1.0],
        facing,
    )


def _blob(seed: int, jag: float) -> Array:
    """A crown of leaves: a circle with bumps."""
    dice = Dice(seed)
    steps = np.arange(22) * (2 * math.pi / 22)
    radii = np.array([0.5 * (1 - jag * dice.uniform(0, 1) * (i % 2 + 0.3)) for i in range(22)])
    return np.stack([0.5 + radii * np.cos(steps), 0.5 + radii * np.sin(steps)], 1)


_CROWNS = [_blob(i, 0.24) for i in range(6)]
_FIR = np.array(
    [(0.5, 0), (0.64, 0.22), (0.57, 0.22), (0.76, 0.48), (0.66, 0.48), (0.88, 0.74), (0.74, 0.74), (1, 1), (0, 1),
     (0.26, 0.74), (0.12, 0.74), (0.34, 0.48), (0.24, 0.48), (0.43, 0.22), (0.36, 0.22)]
)  # fmt: skip


def _upright(x: float, z: float, right: float, wide: float, top: float, high: float, angle: float) -> Plane:
    """A vertical plane at (x, z) that faces the camera; `right` shifts it along its own width."""
    across, ahead = math.cos(angle), -math.sin(angle)
    shift = right - wide / 2
    return plane(
        (across * wide, 0, ahead * wide), (0, high, 0), (x + across * shift, -top, z + ahead * shift)
    )


def tree(dice: Dice, atlas: Atlas, x: float, z: float, angle: float, distance: float) -> Thing:
    """A broad-leaved tree or a fir; `angle` is the camera's direction to it."""
    leaves, trunk = atlas[f"leaves_{dice.integer(NUM_LEAVES)}"], atlas[f"trunk_{dice.integer(2)}"]
    high = dice.uniform(3.5, 8)
    if dice.chance(0.2):
        planes = [
            _upright(x, z, 0, 0.3, 1.0, 1.0, angle),
            _upright(x, z, 0, 0.42 * high, high, high - 0.7, angle),
        ]
        outlines, textures = [SQUARE, _FIR], [trunk, leaves]
    else:
        stem, wide = high * dice.uniform(0.32, 0.45), high * dice.uniform(0.42, 0.6)
        planes = [_upright(x, z, 0, 0.3, stem + 0.6, stem + 0.6, angle)]
        for _ in range(3):
            w = wide * dice.uniform(0.6, 0.95)
            right, up = dice.uniform(-0.22, 0.22) * wide, dice.uniform(0, 0.3) * (high - stem)
            planes.append(_upright(x, z, right, w, high - up, (high - stem) * 0.75, angle))
        outlines = [SQUARE] + [dice.pick(_CROWNS) for _ in range(3)]
        textures = [trunk, leaves, leaves, leaves]
    planes_still = still(planes)
    spot = still([plane((2, 0, 0), (0, 0, -2), (x - 1, 0, z + 1))])
    return Thing(
        VEGETATION,
        distance,
        planes_still,
        outlines,
        textures,
        shades=[0.9, 0.8, 0.92, 1.0][: len(planes)],
        shadow=spot,
        round_shadow=True,
    )


_STOP = np.array(
    [(0.5 + 0.5 * math.cos(a), 0.5 + 0.5 * math.sin(a)) for a in np.arange(8) * math.pi / 4 + math.pi / 8]
)
_TRIANGLE = np.array([(0.5, 0), (1, 1), (0, 1)])
_PLATES = {"stop": _STOP, "limit": DISC, "warning": _TRIANGLE, "parking": SQUARE}


def post(dice: Dice, atlas: Atlas, x: float, z: float, angle: float, distance: float, kind: str) -> Thing:
    """A street lamp whose arm reaches over the road, a sign or a traffic light."""
    pole = atlas[f"pole_{dice.integer(3)}"]
    if kind == "lamp":
        high, way = dice.uniform(4.5, 6.5), -math.copysign(1, x)
        planes = [
            _upright(x, z, 0, 0.24, high, high, angle),
            _upright(x, z, way * 0.7, 1.5, high, 0.14, angle),
            _upright(x, z, way * 1.4, 0.7, high - 0.08, 0.16, angle),
        ]
        outlines, textures = [SQUARE, SQUARE, CAPSULE], [pole, pole, atlas["lamp"]]
    elif kind == "sign":
        high, name = dice.uniform(2.2, 2.9), dice.pick(SIGNS)
        planes = [
            _upright(x, z, 0, 0.17, high, high, angle),
            _upright(x, z, 0, 0.85, high + 0.15, 0.85, angle),
        ]
        outlines, textures = [SQUARE, _PLATES[name]], [pole, atlas[f"sign_{name}"]]
    else:
        high = dice.uniform(2.6, 3.4)
        planes = [
            _upright(x, z, 0, 0.2, high, high, angle),
            _upright(x, z, 0, 0.45, high + 0.1, 1.05, angle),
        ]
        outlines, textures = [SQUARE, SQUARE], [pole, atlas[f"light_{dice.pick(('red', 'green'))}"]]
    return Thing(POLE, distance, still(planes), outlines, textures)
