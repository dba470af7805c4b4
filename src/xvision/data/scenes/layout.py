"""Who is where: one street, its camera and everything on it, drawn from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

from xvision.data.scenes import animals, people, street, vehicles
from xvision.data.scenes.atlas import atlas
from xvision.data.scenes.camera import Camera
from xvision.data.scenes.dice import Dice
from xvision.data.scenes.levels import LEVELS, SCENE_CLASSES, SceneLevel
from xvision.data.scenes.surfaces import Pose, Thing

LEAST_MOTION_RATIO = 0.006
"""What moves is seen to move against the ground: by this fraction of the longer image side (0.8 px of 128)."""
_HEIGHTS = {"person": 1.7, "cyclist": 1.75, "car": 1.5, "truck": 3.3, "bus": 3.1, "animal": 1.4}
_SPEEDS = {  # m between the frames
    "person": (0.14, 0.3),
    "cyclist": (0.4, 0.9),
    "car": (0.6, 1.8),
    "truck": (0.5, 1.4),
    "bus": (0.5, 1.4),
    "animal": (0.15, 0.5),
}
_LENGTHS = {"bus": vehicles.BUS_SIZE[2], "truck": vehicles.TRUCK_SIZE[2], "car": 4.5}
_FOLLOWING = ("car", "truck", "bus")  # drive along the street more often than across


@dataclass
class World:
    """One scene: what is drawn on the ground, then from far to near, by two cameras, in one light."""

    label: int  # scene class
    light: str
    cameras: tuple[Camera, Camera]  # at t-1 and t
    ground: list[Thing] = field(default_factory=list)
    things: list[Thing] = field(default_factory=list)
    lens: Dice = field(default_factory=lambda: Dice(0))  # decides noise, blur and brightness


@lru_cache(maxsize=4096)
def _order(level: str, block: int) -> list[int]:
    return Dice(block * 7919 + sum(map(ord, level))).shuffled(len(SCENE_CLASSES))


def scene_class(seed: int, level: str) -> int:
    """The class of a scene: every run of seeds that starts at a multiple of their number has each class once."""
    block, place = divmod(seed, len(SCENE_CLASSES))
    return _order(level, block)[place]


class _Builder:
    """Fills a world; one method for each kind of thing."""

    def __init__(self, seed: int, level: SceneLevel, name: str) -> None:
        self.dice = dice = Dice(seed * 3 + sorted(LEVELS).index(name))
        self.level, self.atlas = level, atlas()
        self.plan = street.street_plan(dice)
        self.world = World(scene_class(seed, name), dice.weighted(level.lights), self._cameras())
        self.world.lens = Dice(seed * 3 + 2_000_003)
        # half of what the longer side shows, and a margin for roll and the other frame
        self.half_view = math.atan(0.5 / self.world.cameras[1].focal) + math.radians(3)
        self.taken: list[tuple[float, float, float]] = []  # x, z, radius: no two things in one place
        now, before = self.world.cameras[1].position, self.world.cameras[0].position
        self.eye, self.eyes = (now[0], now[2]), (before, now)

    def _cameras(self) -> tuple[Camera, Camera]:
        """The camera rides in the right lane (the whole street may be mirrored later by augmentation)."""
        dice, level = self.dice, self.level
        lane = (self.plan.half_width - self.plan.parking) / 2
        x, height, focal = (
            lane * dice.uniform(0.3, 1.2),
            dice.within(level.height_m),
            dice.within(level.focal),
        )
        yaw, pitch = (math.radians(dice.within(r)) for r in (level.yaw_deg, level.pitch_deg))
        roll = dice.angle(-level.roll_deg, level.roll_deg)
        way = 0.0 if dice.chance(level.still) else dice.within(level.speed_m)
        shake = [dice.angle(-level.shake_deg, level.shake_deg) * (way > 0) for _ in range(3)]
        drift = dice.uniform(-0.08, 0.08) * way
        before = Camera(focal, (x - drift, -height, -way), yaw - shake[0], pitch - shake[1], roll - shake[2])
        return before, Camera(focal, (x, -height, 0.0), yaw, pitch, roll)

    # places ---------------------------------------------------------------------------------------------------

    def _free(self, x: float, z: float, radius: float) -> bool:
        if any((x - a) ** 2 + (z - b) ** 2 < (radius + r) ** 2 for a, b, r in self.taken):
            return False
        self.taken.append((x, z, radius))
        return True

    def _distance(self, x: float, z: float) -> float:
        return math.hypot(x - self.eye[0], z - self.eye[1])

    def _angle(self, x: float, z: float) -> float:
        return math.atan2(x - self.eye[0], z - self.eye[1])

    def in_view(self, x: float, z: float, radius: float) -> bool:
        """Whether something may be seen at t-1 or t, whatever the shape of the image."""
        aside = abs(self._angle(x, z) - self.world.cameras[1].yaw)
        return aside < self.half_view + radius / max(self._distance(x, z), radius, 0.1)

    def _seen_to_move(self, now: Pose, before: Pose, width: float, height: float) -> bool:
        """Whether some edge of it is elsewhere at t-1 than it would be, had it stood still."""
        camera, most = self.world.cameras[0], 0.0
        for side in (-0.5, 0.5):
            for y in (0.0, -height):
                a = camera.project(now[0] + side * width, y, now[1])
                b = camera.project(before[0] + side * width, y, before[1])
                if min(a[2], b[2]) < 1.0:
                    return False
                most = max(most, abs(a[0] - b[0]), abs(a[1] - b[1]))
        return most > LEAST_MOTION_RATIO

    def _poses(
        self, x: float, z: float, heading: float, kind: str, width: float, height: float
    ) -> tuple[Pose, Pose]:
        """Poses at t-1 and t of something that moves if the dice say so and one could see it."""
        now = (x, z, heading)
        if not self.dice.chance(self.level.moving):
            return now, now
        way = self.dice.within(_SPEEDS[kind])
        for factor in (1.0, 1.6):
            moved = factor * way
            before = (x - moved * math.sin(heading), z - moved * math.cos(heading), heading)
            if self._seen_to_move(now, before, width, height):
                return before, now
        return now, now

    # things ---------------------------------------------------------------------------------------------------

    def _vehicle(self, kind: str, poses: tuple[Pose, Pose], body: int | None = None) -> Thing:
        """A car (of the given body or any), truck or bus."""
        dice, distance, moving = self.dice, self._distance(*poses[1][:2]), poses[0] != poses[1]
        if kind == "car":
            if body is None:
                body = dice.integer(len(vehicles.CAR_BODIES))
            return vehicles.car(dice, self.atlas, poses, body, distance, moving=moving)
        if kind == "bus":
            return vehicles.bus(dice, self.atlas, poses, distance, moving=moving)
        return vehicles.truck(dice, self.atlas, poses, distance, self.eye, moving=moving)

    def add(self, kind: str, x: float, z: float, heading: float) -> None:
        """One object at t; whether and how far it moved since t-1 is drawn here."""
        dice, things, distance = self.dice, self.world.things, self._distance(x, z)
        if kind in _LENGTHS:
            body = dice.integer(len(vehicles.CAR_BODIES))
            size = {"car": vehicles.car_size(body), "truck": vehicles.TRUCK_SIZE, "bus": vehicles.BUS_SIZE}[
                kind
            ]
            things.append(self._vehicle(kind, self._poses(x, z, heading, kind, *size[:2]), body))
        elif kind == "animal":
            species = dice.pick(tuple(animals.ANIMALS))
            height = dice.within(animals.ANIMALS[species][3])
            poses = self._poses(x, z, heading, kind, height, height)
            things.append(animals.animal(dice, self.atlas, poses, distance, species, height))
        else:
            look = people.looks(dice, self.atlas)
            poses = self._poses(x, z, heading, kind, 0.5, look.height)
            make = people.person if kind == "person" else people.cyclist
            things.append(make(dice, self.atlas, poses, self.eyes, distance, look))

    def _heading(self, kind: str, x: float) -> float:
        """Vehicles keep to their lane, oncoming on the left; people and animals cross."""
        dice = self.dice
        if (kind in _FOLLOWING and dice.chance(0.75)) or (kind == "cyclist" and dice.chance(0.4)):
            return dice.angle(-6, 6) + (0.0 if x > 0 else math.pi)
        return dice.sign() * math.pi / 2 + dice.angle(-25, 25)

    def _below_view(self, distance: float, height: float) -> bool:
        """Whether something that far ahead is so low in the image that a part of it would be cut off."""
        camera = self.world.cameras[1]
        ahead = (self.eye[0] + distance * math.sin(camera.yaw), distance * math.cos(camera.yaw))
        feet, middle = (camera.project(ahead[0], y, ahead[1])[1] for y in (0.0, -height / 2))
        return distance < 40 and (feet > 0.5 or middle > 0.25)

    def main(self) -> None:
        """The object that gives the scene its class: on the carriageway, in view, with nothing in front of it."""
        kind, dice = SCENE_CLASSES[self.world.label], self.dice
        camera, plan = self.world.cameras[1], self.plan
        if kind == "empty":
            self.clear = 34.0
            return
        high, long = _HEIGHTS[kind], _LENGTHS.get(kind, 0.0)
        distance = max(high * camera.focal / dice.within(self.level.main_ratio), 3.2)
        while self._below_view(distance, high):
            distance *= 1.2
        lane = plan.half_width - plan.parking - 0.9
        bearing = camera.yaw + dice.uniform(-0.28, 0.28) / camera.focal
        x = min(max(self.eye[0] + distance * math.tan(bearing), -lane), lane)
        heading = self._heading(kind, x)
        z = distance + long / 2 * abs(math.cos(heading)) + (1.0 if long else 0.0)
        self.taken.append((x, z, long / 2 + 0.8))
        self.add(kind, x, z, heading)
        self.clear = 1.5 * z + 6 + long / 2

    def traffic(self) -> None:
        """More objects on the carriageway, clearly behind the main one."""
        plan, dice = self.plan, self.dice
        for _ in range(dice.between(self.level.num_traffic)):
            kind = dice.pick(("car", "car", "car", "truck", "bus", "cyclist", "person", "animal"))
            lane = plan.half_width - plan.parking
            x, z = dice.sign() * lane * dice.uniform(0.35, 0.6), dice.uniform(self.clear, self.clear + 35)
            if self.in_view(x, z, 4.0) and self._free(
                x, z, 5.5 if kind in ("truck", "bus") else 3.0 if kind == "car" else 1.0
            ):
                self.add(kind, x, z, self._heading(kind, x))

    def parked(self) -> None:
        plan, dice = self.plan, self.dice
        if plan.parking == 0:
            return
        for side in (-1, 1):
            x, z = side * (plan.half_width - plan.parking / 2), dice.uniform(4, 9)
            while z < 60:
                long = dice.chance(0.1) and z > 12  # a truck takes two places
                middle, radius = (z + 2, 4.0) if long else (z, 2.0)
                taken = dice.chance(self.level.parked) and not self._crosses(middle, radius + 1.5)
                if taken and self.in_view(x, middle, radius + 1) and self._free(x, middle, radius):
                    pose = (x, middle, dice.angle(-2, 2) + (0 if side > 0 else math.pi))
                    self.world.things.append(self._vehicle("truck" if long else "car", (pose, pose)))
                z += dice.uniform(5.4, 6.5) + (4 if long else 0)

    def _crosses(self, z: float, margin: float) -> bool:
        crossing = self.plan.crossing
        return crossing is not None and crossing[0] - margin < z < crossing[1] + margin

    def walkers(self) -> None:
        """People and now and then a dog on the pavements, alone or in pairs."""
        plan, dice = self.plan, self.dice
        for _ in range(dice.between(self.level.num_walkers)):
            i = dice.integer(2)
            side = (-1, 1)[i]
            x = side * (plan.half_width + plan.pavement[i] * dice.uniform(0.3, 0.8))
            z = math.exp(dice.uniform(math.log(6), math.log(32)))
            if self.in_view(x, z, 1.0) and self._free(x, z, 0.45):
                if dice.chance(0.12):
                    self.add("animal", x, z, side * math.pi / 2 + dice.angle(-40, 40))
                else:
                    self.add("person", x, z, dice.angle(-20, 20) + math.pi * dice.integer(2))

    def furniture(self) -> None:
        """Trees, lamps and signs near the kerb."""
        plan, dice = self.plan, self.dice
        for i, side in enumerate((-1, 1)):
            trees = dice.chance(0.5)
            z = dice.uniform(5, 12)
            while z < 70:
                x = side * (plan.half_width + dice.uniform(0.3, 0.6))
                if dice.chance(self.level.furniture) and not self._crosses(z, 0.5):
                    self._at_kerb(
                        "tree" if trees and dice.chance(0.7) else dice.pick(("lamp", "sign", "light")), x, z
                    )
                z += dice.uniform(5, 12)
            if plan.built[i] < 0.8:  # a park or gardens
                for _ in range(dice.integer(7)):
                    x, z = side * (plan.front[i] + dice.uniform(0.5, 9)), dice.uniform(10, 70)
                    if not self._crosses(z, 2.0):
                        self._at_kerb("tree", x, z)

    def _at_kerb(self, kind: str, x: float, z: float) -> None:
        """A tree, lamp, sign or traffic light, if the place is free and in view."""
        if not self.in_view(x, z, 2.5 if kind in ("tree", "lamp") else 0.5) or not self._free(x, z, 0.35):
            return
        where = (x, z, self._angle(x, z), self._distance(x, z))
        if kind == "tree":
            self.world.things.append(street.tree(self.dice, self.atlas, *where))
        else:
            self.world.things.append(street.post(self.dice, self.atlas, *where, kind))


def build(seed: int, level: str) -> World:
    """The world of a seed at a level; the same at every image size."""
    builder = _Builder(seed, LEVELS[level], level)
    world, dice = builder.world, builder.dice
    world.ground = [street.sky(dice, builder.atlas, world.light)]
    world.ground += street.view_end(dice, builder.atlas) + street.ground(dice, builder.atlas, builder.plan)
    world.things += street.houses(dice, builder.atlas, builder.plan, builder.in_view)
    builder.main()
    builder.traffic()
    builder.parked()
    builder.walkers()
    builder.furniture()
    world.things.sort(key=lambda thing: -thing.distance)
    return world
