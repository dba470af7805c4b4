"""What a scene is made of: flat textured polygons at metric places, at t-1 and at t.

A *surface* is a plane U u + V v + O (m, world axes: x right, y down, z along the street, ground at y = 0), an outline
in (u, v) and a texture that fills the unit square of (u, v). A *thing* is a car, a person, a house: surfaces in
drawing order that share a label. Where a surface is at t-1 and at t says everything about flow, depth and
occlusion, so no label can disagree with another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Pose = tuple[float, float, float]  # x m, z m, heading rad: 0 along z, pi / 2 along x

SQUARE = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
DISC = np.array([(0.5 + 0.5 * math.cos(a), 0.5 + 0.5 * math.sin(a)) for a in np.arange(16) * math.pi / 8])
CAPSULE = np.array(
    [(0.5 + 0.5 * x, 0.5 + 0.5 * y) for x, y in (
        (-0.6, -1), (0.6, -1), (1, -0.8), (1, 0.8), (0.6, 1), (-0.6, 1), (-1, 0.8), (-1, -0.8)
    )]
)  # fmt: skip


@dataclass
class Thing:
    """One object or one piece of the street."""

    label: int  # semantic class
    distance: float  # from the camera at t; the far ones are drawn first
    planes: Array  # 2 frames, K surfaces, 3 axes, (U, V, O)
    outlines: list[Array]
    textures: list[int]
    shades: list[float] | None = None  # how much light each surface gets, 0-1
    facing: list[int] | None = None  # +1: seen only from where U points right; -1: left; 0: from both sides
    moving: bool = False
    shadow: Array | None = None  # 2 frames, 1, 3, 3: a plane on the ground
    round_shadow: bool = False
    joints: Array | None = None  # 2 frames, 17, 3
    joint_surfaces: list[int] = field(default_factory=list)  # the last surface that belongs to each joint
    joint_hidden: list[bool] = field(default_factory=list)  # the joint is on the far side of the head


def turn(heading: float) -> Array:
    """Rotation from an object's axes (right, down, forward) to the world's."""
    sine, cosine = math.sin(heading), math.cos(heading)
    return np.array([(cosine, 0, sine), (0, 1, 0), (-sine, 0, cosine)])


def place(local: Array, poses: tuple[Pose, Pose]) -> Array:
    """Planes K, 3, 3 of a rigid object, in its own axes, at its poses at t-1 and at t: 2, K, 3, 3."""
    placed = np.empty((2, *local.shape))
    for frame, (x, z, heading) in enumerate(poses):
        placed[frame] = turn(heading) @ local
        placed[frame, :, 0, 2] += x
        placed[frame, :, 2, 2] += z
    return placed


Vector = tuple[float, float, float]
Plane = tuple[Vector, Vector, Vector]


def plane(u: Vector, v: Vector, o: Vector) -> Plane:
    """One plane: rows x, y, z and columns U, V, O. Tuples, because making many small arrays is slow."""
    return tuple(zip(u, v, o, strict=True))  # type: ignore[return-value]


def still(planes: Sequence[Plane]) -> Array:
    """Planes of something that does not move: 2, K, 3, 3."""
    return np.array((planes, planes))


def on_ground(width: float, length: float, poses: tuple[Pose, Pose]) -> Array:
    """The plane of a shadow of that size under an object: 2, 1, 3, 3."""
    return place(np.array([plane((width, 0, 0), (0, 0, -length), (-width / 2, 0, length / 2))]), poses)


def box(
    width: float, height: float, length: float, *, bottom: float = 0.0, back: float | None = None
) -> tuple[Array, list[int]]:
    """Rear, front, left, right and top of a box (m) and how each faces; both sides have u from rear to front."""
    x, z0 = width / 2, -length / 2 if back is None else back
    top, z1 = -bottom - height, z0 + length
    planes = [
        plane((width, 0, 0), (0, height, 0), (-x, top, z0)),
        plane((-width, 0, 0), (0, height, 0), (x, top, z1)),
        plane((0, 0, length), (0, height, 0), (-x, top, z0)),
        plane((0, 0, length), (0, height, 0), (x, top, z0)),
        plane((width, 0, 0), (0, 0, -length), (-x, top, z1)),
    ]
    return np.array(planes), [1, 1, -1, 1, 1]
