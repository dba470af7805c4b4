"""Where the joints of a body are while it walks, stands or rides."""

from __future__ import annotations

import math
from dataclasses import dataclass

from xvision.data.scenes.dice import Dice

Point = tuple[float, float, float]  # right, down, forward

# joints 0-16 as xvision.data.joints.COCO; then what only drawing needs
TOES, HEAD, NECK, PELVIS = (17, 18), 19, 20, 21
LEFT, RIGHT = -1, 1


@dataclass(frozen=True)
class Gait:
    """Angles of one moment of a walk, rad, forward positive: thigh, knee, arm and elbow of (left, right)."""

    thigh: tuple[float, float]
    knee: tuple[float, float]
    arm: tuple[float, float]
    elbow: tuple[float, float]
    spread: tuple[float, float] = (0.12, 0.12)  # of the arms, to the side


def walking(phase: float, swing: float, spread: tuple[float, float]) -> Gait:
    """A step at `phase` (rad); `swing` is the largest angle of a thigh."""
    thigh = swing * math.sin(phase)
    bend = 0.12 + 0.9 * swing
    knee = (bend * max(0.15, math.cos(phase)) ** 2, bend * max(0.15, -math.cos(phase)) ** 2)
    arm = 0.75 * thigh
    return Gait((thigh, -thigh), knee, (-arm, arm), (0.25 + 0.3 * swing, 0.25 + 0.3 * swing), spread)


def _limb(start: Point, length: float, angle: float, aside: float = 0.0) -> Point:
    """The far end of a limb that hangs from `start`."""
    down = math.cos(angle) * math.cos(aside)
    return start[0] + length * math.sin(aside), start[1] + length * down, start[2] + length * math.sin(angle)


def _face(points: list[Point], head: Point, scale: float) -> None:
    """Nose, eyes and ears around the centre of the head."""
    for right, down, forward in (
        (0, 0.01, 0.1), (-0.035, -0.02, 0.085), (0.035, -0.02, 0.085), (-0.075, 0, 0.0), (0.075, 0, 0.0)
    ):  # fmt: skip
        points.append((head[0] + right * scale, head[1] + down * scale, head[2] + forward * scale))


def walker_joints(gait: Gait, height: float) -> list[Point]:
    """All joints of a person on foot, own axes, feet on the ground; `height` in m."""
    s = height / 1.75
    legs: list[tuple[Point, Point, Point, Point]] = []
    for i, side in enumerate((LEFT, RIGHT)):
        hip = (side * 0.1 * s, 0.0, 0.0)
        knee = _limb(hip, 0.43 * s, gait.thigh[i])
        shin = gait.thigh[i] - gait.knee[i]
        ankle = _limb(knee, 0.42 * s, shin)
        toe = (ankle[0], ankle[1] + 0.06 * s, ankle[2] + 0.17 * s * math.cos(0.5 * shin))
        legs.append((hip, knee, ankle, toe))
    lift = -max(leg[2][1] for leg in legs) - 0.08 * s  # the lower foot stands on the ground
    lean = 0.03 * s
    head = (0.0, lift - 0.74 * s, lean + 0.02 * s)
    points: list[Point] = []
    _face(points, head, s)
    arms = []
    for i, side in enumerate((LEFT, RIGHT)):
        shoulder = (side * 0.19 * s, lift - 0.5 * s, lean)
        elbow = _limb(shoulder, 0.29 * s, gait.arm[i], side * gait.spread[i])
        wrist = _limb(elbow, 0.26 * s, gait.arm[i] + gait.elbow[i], side * gait.spread[i] * 0.6)
        arms.append((shoulder, elbow, wrist))
    for j in range(3):
        points += [arms[0][j], arms[1][j]]
    for j in range(4):
        points += [(x, y + lift, z) for x, y, z in (legs[0][j], legs[1][j])]
    points += [head, (0.0, lift - 0.56 * s, lean), (0.0, lift + 0.06 * s, 0.0)]
    return points


def _knee(hip: Point, ankle: Point, thigh: float, shin: float) -> Point:
    """Where two bones of given lengths meet, bending forward."""
    down, forward = ankle[1] - hip[1], ankle[2] - hip[2]
    reach = min(math.hypot(down, forward), (thigh + shin) * 0.999)
    along = (thigh**2 - shin**2 + reach**2) / (2 * reach)
    out = math.sqrt(max(thigh**2 - along**2, 0.0))
    return (
        (hip[0] + ankle[0]) / 2,
        hip[1] + (along * down - out * forward) / reach,
        hip[2] + (along * forward + out * down) / reach,
    )


def rider_joints(phase: float, height: float) -> list[Point]:
    """All joints of a cyclist whose pedals are at `phase`, own axes."""
    s = height / 1.75
    head = (0.0, -1.62 * s, 0.2)
    points: list[Point] = []
    _face(points, head, s)
    for rows in (
        [(side * 0.18 * s, -1.38 * s, 0.12) for side in (LEFT, RIGHT)],
        [(side * 0.26 * s, -1.16 * s, 0.27) for side in (LEFT, RIGHT)],
        [(side * 0.24, -1.02, 0.46) for side in (LEFT, RIGHT)],
    ):
        points += rows
    hips = [(side * 0.1 * s, -0.92 * s, -0.16) for side in (LEFT, RIGHT)]
    ankles, knees, toes = [], [], []
    for i, side in enumerate((LEFT, RIGHT)):
        turned = phase + math.pi * i
        ankle = (side * 0.11, -0.36 - 0.16 * math.cos(turned), 0.04 + 0.16 * math.sin(turned))
        ankles.append(ankle)
        knees.append(_knee(hips[i], ankle, 0.43 * s, 0.42 * s))
        toes.append((ankle[0], ankle[1] + 0.05, ankle[2] + 0.15))
    points += [*hips, *knees, *ankles, *toes]
    points += [head, (0.0, -1.44 * s, 0.13), (0.0, -0.86 * s, -0.17)]
    return points


def standing(dice: Dice) -> Gait:
    """Somebody who waits: arms hang, rest on the hips, hold a phone or wave."""
    arm, elbow, spread = [], [], []
    for _ in range(2):
        a, e, s = dice.pick(
            ((0.0, 0.15, 0.12), (0.1, 0.1, 0.2), (0.5, 1.8, 0.1), (-0.3, 0.5, 0.6), (0.3, 0.6, 2.3))
        )
        arm.append(a + dice.uniform(-0.1, 0.1))
        elbow.append(e + dice.uniform(-0.1, 0.1))
        spread.append(s + dice.uniform(-0.05, 0.05))
    leg = dice.uniform(0, 0.14)
    return Gait((leg, -leg), (0.05, 0.05), (arm[0], arm[1]), (elbow[0], elbow[1]), (spread[0], spread[1]))
