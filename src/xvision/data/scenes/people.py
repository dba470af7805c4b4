"""Walking and standing people and cyclists: limbs between joints that swing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xvision.data.scenes.atlas import Atlas
from xvision.data.scenes.dice import Dice
from xvision.data.scenes.levels import CYCLIST, PERSON
from xvision.data.scenes.paint_objects import CLOTHES, NUM_HEADS, SKINS
from xvision.data.scenes.poses import (
    HEAD,
    NECK,
    PELVIS,
    Point,
    rider_joints,
    standing,
    walker_joints,
    walking,
)
from xvision.data.scenes.surfaces import (
    CAPSULE,
    DISC,
    SQUARE,
    Array,
    Pose,
    Thing,
    on_ground,
    place,
    plane,
    turn,
)

# what is drawn between which joints: (from, to, width m, outline, what it wears)
_LIMBS = (
    (11, 13, 0.17, CAPSULE, "trousers"), (12, 14, 0.17, CAPSULE, "trousers"),
    (13, 15, 0.13, CAPSULE, "trousers"), (14, 16, 0.13, CAPSULE, "trousers"),
    (15, 17, 0.1, CAPSULE, "shoe"), (16, 18, 0.1, CAPSULE, "shoe"),
    (5, 7, 0.12, CAPSULE, "sleeve"), (6, 8, 0.12, CAPSULE, "sleeve"),
    (7, 9, 0.09, CAPSULE, "forearm"), (8, 10, 0.09, CAPSULE, "forearm"),
)  # fmt: skip
_STARTS, _ENDS = (np.array([limb[i] for limb in _LIMBS], np.intp) for i in (0, 1))
_WIDTHS = np.array([limb[2] for limb in _LIMBS])
_TORSO, _HEAD = len(_LIMBS), len(_LIMBS) + 1
# the limbs at each joint; a joint is hidden when anything drawn after them covers it
_AT_JOINT = (
    *[(_HEAD,)] * 5, (6, _TORSO), (7, _TORSO), (6, 8), (7, 9), (8,), (9,), (0, _TORSO), (1, _TORSO), (0, 2), (1, 3),
    (2, 4), (3, 5),
)  # fmt: skip
_TRUNK = np.array(
    [(0.06, 0.0), (0.94, 0.0), (1, 0.12), (0.92, 0.6), (0.96, 1), (0.04, 1), (0.08, 0.6), (0, 0.12)]
)


def _body_planes(joints: Array, view: Array, turned: float, scale: float) -> Array:
    """Planes of all limbs, torso and head that face the camera. joints 22, 3; view: horizontal unit vector."""
    planes = np.empty((len(_LIMBS) + 2, 3, 3))
    start, end = joints[_STARTS], joints[_ENDS]
    axis = end - start
    length = np.sqrt((axis**2).sum(1))
    # across the limb and in the image: axis x view
    x, y, z = axis.T
    across = np.stack([y * view[2], z * view[0] - x * view[2], -y * view[0]], 1)
    width = _WIDTHS * scale
    across *= (width / np.maximum(np.sqrt((across**2).sum(1)), 0.2 * length))[:, None]
    cap = (0.35 * width / np.maximum(length, 0.05))[:, None] * axis
    planes[:_TORSO, :, 0] = across
    planes[:_TORSO, :, 1] = axis + 2 * cap
    planes[:_TORSO, :, 2] = start - cap - across / 2
    right = np.array([view[2], 0, -view[0]])
    torso = scale * (0.27 + 0.17 * turned)
    down = joints[PELVIS] - joints[NECK]
    planes[_TORSO, :, 0], planes[_TORSO, :, 1] = right * torso, down
    planes[_TORSO, :, 2] = joints[NECK] - right * (torso / 2)
    high, wide = 0.27 * scale, 0.2 * scale
    planes[_HEAD, :, 0], planes[_HEAD, :, 1] = right * wide, (0, high, 0)
    planes[_HEAD, :, 2] = joints[HEAD] - right * (wide / 2) - (0, high / 2, 0)
    return planes


@dataclass(frozen=True)
class Looks:
    """How tall somebody is and what he or she wears: textures by part of the body."""

    height: float
    head: int
    wears: dict[str, int]
    shirt: int


def looks(dice: Dice, atlas: Atlas) -> Looks:
    head, top = dice.integer(NUM_HEADS), dice.integer(len(CLOTHES))
    skin, cloth = atlas[f"skin_{head % len(SKINS)}"], atlas[f"cloth_{top}"]
    bare, shorts = dice.chance(0.4), dice.chance(0.15)
    trousers = skin if shorts else atlas[f"cloth_{dice.integer(len(CLOTHES))}"]
    wears = {"trousers": trousers, "shoe": atlas["shoe"], "sleeve": cloth, "forearm": skin if bare else cloth}
    height = dice.uniform(1.1, 1.4) if dice.chance(0.15) else dice.uniform(1.58, 1.9)
    return Looks(height, head, wears, atlas[f"shirt_{top}"])


def _figure(
    atlas: Atlas,
    look: Looks,
    moments: tuple[list[Point], list[Point]],
    poses: tuple[Pose, Pose],
    camera: tuple[Point, Point],
) -> tuple[Array, list[int], list[int], Array, list[bool], list[float]]:
    """Planes, textures, drawing order, joints, hidden joints and depth of a body in the world."""
    planes, placed = [], []
    for points, (x, z, heading), (cx, _, cz) in zip(moments, poses, camera, strict=True):
        world = np.array(points) @ turn(heading).T + (x, 0, z)
        far = math.hypot(x - cx, z - cz)
        view = np.array([(x - cx) / far, 0, (z - cz) / far])
        facing = heading - math.atan2(view[0], view[2])  # 0: seen from behind
        planes.append(_body_planes(world, view, abs(math.cos(facing)), look.height / 1.75))
        placed.append(world)
    seen = ("back", "right", "front", "left")[round(facing / (math.pi / 2)) % 4]
    textures = [look.wears[limb[4]] for limb in _LIMBS] + [look.shirt, atlas[f"head_{look.head}_{seen}"]]
    middle = planes[1][:, :, 2] + 0.5 * (planes[1][:, :, 0] + planes[1][:, :, 1])
    depth = (middle @ view).tolist()
    depth[_HEAD] -= 0.15
    order = sorted(range(len(depth)), key=lambda i: -depth[i])
    away = math.cos(facing) > 0.35
    side = math.sin(
        facing
    )  # > 0: turned to the right of the image, so that the left half of the face is hidden
    hidden = [away, away or side > 0.8, away or side < -0.8, side > 0.5, side < -0.5] + [False] * 12
    return np.stack(planes), textures, order, np.stack([p[:17] for p in placed]), hidden, depth


def _surfaces_of_joints(order: list[int], first: int = 0) -> list[int]:
    rank = {limb: first + i for i, limb in enumerate(order)}
    return [max(rank[limb] for limb in limbs) for limbs in _AT_JOINT]


_OUTLINES = [limb[3] for limb in _LIMBS] + [_TRUNK, DISC]


def person(
    dice: Dice,
    atlas: Atlas,
    poses: tuple[Pose, Pose],
    camera: tuple[Point, Point],
    distance: float,
    look: Looks,
) -> Thing:
    """Somebody on foot; who stays where he or she was stands, everybody else walks."""
    way = math.hypot(poses[1][0] - poses[0][0], poses[1][1] - poses[0][1])
    phase, swing = dice.uniform(0, 2 * math.pi), dice.uniform(0.35, 0.55)
    spread = (dice.uniform(0.05, 0.2), dice.uniform(0.05, 0.2))
    if way > 0:
        before = phase - 2 * math.pi * way / (0.8 * look.height)
        moments = (
            walker_joints(walking(before, swing, spread), look.height),
            walker_joints(walking(phase, swing, spread), look.height),
        )
    else:
        moments = (walker_joints(standing(dice), look.height),) * 2
    planes, textures, order, joints, hidden, _ = _figure(atlas, look, moments, poses, camera)
    return Thing(
        label=PERSON,
        distance=distance,
        planes=planes[:, order],
        outlines=[_OUTLINES[i] for i in order],
        textures=[textures[i] for i in order],
        moving=way > 0,
        round_shadow=True,
        shadow=on_ground(0.6, 0.6, poses),
        joints=joints,
        joint_surfaces=_surfaces_of_joints(order),
        joint_hidden=hidden,
    )


def _ring(x: float, y: float, rx: float, ry: float, thick: float) -> Array:
    """A wheel without its inside, as one outline with a seam."""
    turns = np.arange(17) * (math.pi / 8)
    circle = np.stack([np.cos(turns), np.sin(turns)], 1)
    ring: Array = np.concatenate([circle * (rx, ry), circle[::-1] * (rx * thick, ry * thick)])
    ring += (x, y)
    return ring


_BIKE_M = (1.72, 1.06)  # length and height of the plane that holds the bicycle
_WHEELS = [_ring(x, 0.68, 0.2, 0.32, 0.76) for x in (0.2, 0.8)]


def _tube(start: tuple[float, float], end: tuple[float, float]) -> Array:
    """A straight piece of the frame, 5 cm thick, between two (u, v) of the bicycle's plane."""
    (u0, v0), (u1, v1) = start, end
    across, down = -(v1 - v0) * _BIKE_M[1], (u1 - u0) * _BIKE_M[0]
    scale = 0.025 / math.hypot(across, down)
    du, dv = across * scale / _BIKE_M[0], down * scale / _BIKE_M[1]
    return np.array([(u0 - du, v0 - dv), (u1 - du, v1 - dv), (u1 + du, v1 + dv), (u0 + du, v0 + dv)])


_HUB, _SADDLE, _CRANK, _HEAD_TUBE, _BAR = (0.2, 0.68), (0.35, 0.16), (0.47, 0.7), (0.71, 0.24), (0.73, 0.07)
_FRAME = [
    _tube(*ends)
    for ends in (
        (_HUB, (0.38, 0.27)), (_HUB, _CRANK), (_SADDLE, _CRANK), ((0.38, 0.27), _HEAD_TUBE), (_CRANK, _HEAD_TUBE),
        (_BAR, (0.8, 0.68)),
    )
]  # fmt: skip
_BIKE_PLANE = plane((0, 0, _BIKE_M[0]), (0, _BIKE_M[1], 0), (0, -_BIKE_M[1], -_BIKE_M[0] / 2))
_BIKE = np.array(
    [
        *[_BIKE_PLANE] * (len(_WHEELS) + len(_FRAME)),
        plane((0.09, 0, 0), (0, 0.68, 0), (-0.045, -0.68, -0.52)),
        plane((0.09, 0, 0), (0, 0.68, 0), (-0.045, -0.68, 0.52)),
        plane((0.54, 0, 0), (0, 0.06, 0), (-0.27, -1.06, 0.46)),
    ]
)
_BIKE_OUTLINES = [*_WHEELS, *_FRAME, CAPSULE, CAPSULE, SQUARE]


def cyclist(
    dice: Dice,
    atlas: Atlas,
    poses: tuple[Pose, Pose],
    camera: tuple[Point, Point],
    distance: float,
    look: Looks,
) -> Thing:
    """Somebody on a bicycle, label and box around both; the pedals turn as the bicycle moves."""
    way = math.hypot(poses[1][0] - poses[0][0], poses[1][1] - poses[0][1])
    phase = dice.uniform(0, 2 * math.pi)
    moments = (rider_joints(phase - way / 0.8, look.height), rider_joints(phase, look.height))
    planes, textures, order, joints, hidden, depth = _figure(atlas, look, moments, poses, camera)
    colour = atlas[dice.pick(("bike_metal", "bike_red"))]
    tyre = atlas["bike_tyre"]
    bike, metals = place(_BIKE, poses), [tyre, tyre, *[colour] * len(_FRAME), tyre, tyre, colour]
    # the bicycle is drawn between the far and the near leg
    saddle = 0.5 * (depth[0] + depth[1])
    behind = [i for i in order if depth[i] > saddle and i < 6]
    before = [i for i in order if i not in behind]
    rank = {limb: i for i, limb in enumerate(behind)} | {
        limb: len(behind) + len(_BIKE) + i for i, limb in enumerate(before)
    }
    return Thing(
        label=CYCLIST,
        distance=distance,
        planes=np.concatenate([planes[:, behind], bike, planes[:, before]], axis=1),
        outlines=[_OUTLINES[i] for i in behind] + _BIKE_OUTLINES + [_OUTLINES[i] for i in before],
        textures=[textures[i] for i in behind] + metals + [textures[i] for i in before],
        moving=way > 0,
        round_shadow=True,
        shadow=on_ground(0.5, 1.7, poses),
        joints=joints,
        joint_surfaces=[max(rank[limb] for limb in limbs) for limbs in _AT_JOINT],
        joint_hidden=hidden,
    )
