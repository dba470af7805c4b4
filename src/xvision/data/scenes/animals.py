"""Dogs, cows, horses and deer: a silhouette on legs that swing."""

from __future__ import annotations

import math

import numpy as np

from xvision.data.scenes.atlas import Atlas
from xvision.data.scenes.dice import Dice
from xvision.data.scenes.levels import ANIMAL
from xvision.data.scenes.paint_objects import FURS
from xvision.data.scenes.surfaces import DISC, Pose, Thing, on_ground, place, plane

# silhouettes without legs: u from tail to nose, v from the highest point to the feet
_DOG = [
    (0.02, 0.2), (0.1, 0.33), (0.2, 0.34), (0.66, 0.33), (0.74, 0.12), (0.78, 0.02), (0.86, 0.08), (1, 0.2),
    (0.98, 0.28), (0.86, 0.32), (0.8, 0.62), (0.68, 0.7), (0.4, 0.6), (0.2, 0.62), (0.12, 0.45),
]  # fmt: skip
_COW = [
    (0, 0.24), (0.05, 0.17), (0.12, 0.15), (0.5, 0.18), (0.72, 0.12), (0.82, 0.06), (0.86, 0.0), (0.9, 0.07),
    (1, 0.26), (0.96, 0.34), (0.84, 0.32), (0.78, 0.58), (0.6, 0.7), (0.3, 0.7), (0.1, 0.62), (0.06, 0.4),
]  # fmt: skip
_HORSE = [
    (0.0, 0.5), (0.03, 0.3), (0.12, 0.28), (0.4, 0.33), (0.64, 0.27), (0.78, 0.03), (0.83, 0.0), (0.86, 0.06),
    (1, 0.2), (0.97, 0.26), (0.86, 0.24), (0.8, 0.45), (0.74, 0.58), (0.4, 0.6), (0.14, 0.58), (0.07, 0.4),
    (0.04, 0.55),
]  # fmt: skip
_DEER = [
    (0.04, 0.38), (0.12, 0.32), (0.5, 0.36), (0.68, 0.32), (0.78, 0.16), (0.7, 0.02), (0.74, 0.0),
    (0.82, 0.12), (0.86, 0.0), (0.9, 0.01), (0.88, 0.14), (1, 0.24), (0.96, 0.29), (0.87, 0.28), (0.78, 0.54),
    (0.4, 0.6), (0.14, 0.56), (0.08, 0.46),
]  # fmt: skip
ANIMALS = {  # silhouette, furs, length over height, height m, legs at u
    "dog": (np.array(_DOG), (0, 1, 2, 3), 1.35, (0.65, 0.85), (0.2, 0.72)),
    "cow": (np.array(_COW), (0, 1, 2), 1.5, (1.35, 1.5), (0.16, 0.7)),
    "horse": (np.array(_HORSE), (0, 1, 3), 1.2, (1.7, 1.95), (0.15, 0.74)),
    "deer": (np.array(_DEER), (0, 3), 1.1, (1.3, 1.6), (0.18, 0.74)),
}
_LEG = np.array([(0.1, 0), (0.9, 0), (0.7, 0.5), (0.75, 1), (0.3, 1), (0.35, 0.5)])


def animal(
    dice: Dice, atlas: Atlas, poses: tuple[Pose, Pose], distance: float, kind: str, height: float
) -> Thing:
    """A dog, cow, horse or deer whose legs swing while it moves."""
    outline, furs, ratio, _, legs = ANIMALS[kind]
    length, way = ratio * height, math.hypot(poses[1][0] - poses[0][0], poses[1][1] - poses[0][1])
    fur, phase = atlas[f"fur_{dice.pick(furs)}"], dice.uniform(0, 2 * math.pi)
    swing = dice.uniform(0.3, 0.5)
    high, thick = 0.5 * height, 0.15 * height
    both = []
    for frame, (x, z, heading) in enumerate(poses):
        angle = phase - (2 * math.pi * way / (1.1 * height) if frame == 0 else 0)
        local = []
        for side in (-1, 1):
            for leg, u in enumerate(legs):
                a = (swing if way > 0 else 0.08) * math.sin(
                    angle + math.pi * leg + (0 if side < 0 else math.pi)
                )
                foot = (0.0, high * math.cos(a), high * math.sin(a))
                hip = (side * 0.1 * height, -height + 0.5 * height, (u - 0.5) * length - thick / 2)
                local.append(plane((0, 0, thick), foot, hip))
        chest = 0.3 * height
        local.append(plane((chest, 0, 0), (0, 0.3 * height, 0), (-chest / 2, -0.69 * height, 0.1 * length)))
        local.append(plane((0, 0, length), (0, height, 0), (0, -height, -length / 2)))
        both.append(place(np.array(local), ((x, z, heading),) * 2)[0])
    # the camera stands near x = 0: of a heading to the right (sin > 0) it sees the right flank
    near_right = math.sin(poses[1][2]) > 0
    order = [0, 1, 2, 3, 4, 5] if near_right else [2, 3, 0, 1, 4, 5]
    return Thing(
        label=ANIMAL,
        distance=distance,
        planes=np.stack(both)[:, order],
        outlines=[(_LEG, _LEG, _LEG, _LEG, DISC, outline)[i] for i in order],
        textures=[fur] * 6,
        shades=[0.7, 0.7, 0.95, 0.95, 0.9, 1.0],
        moving=way > 0,
        round_shadow=True,
        shadow=on_ground(0.35 * height, 0.9 * length, poses),
    )


assert all(max(furs) < len(FURS) for _, furs, *_ in ANIMALS.values())
