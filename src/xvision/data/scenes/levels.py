"""What the classes are called, and the three frozen levels of difficulty.

A level is data: changing any number of one, or anything that changes a pixel, is a new `version`, because records
quote scores on it.
"""

from __future__ import annotations

from dataclasses import dataclass

OBJECTS = ("person", "cyclist", "car", "truck", "bus", "animal")
SEGMENTATION_CLASSES = ("road", "sidewalk", "building", "vegetation", "pole", "sky", *OBJECTS)
"""Trees, hedges and grass are vegetation; lamps, signs and traffic lights are pole."""
BOX_CLASSES = OBJECTS
SCENE_CLASSES = ("empty", *OBJECTS)
"""The nearest object on the carriageway ahead (parked vehicles and pavements do not count), or none."""

ROAD, SIDEWALK, BUILDING, VEGETATION, POLE, SKY = range(6)
FIRST_OBJECT = 6
PERSON, CYCLIST, CAR, TRUCK, BUS, ANIMAL = range(6, 12)

Range = tuple[float, float]


@dataclass(frozen=True)
class SceneLevel:
    """The ranges from which a scene is drawn; lengths in m, angles in degrees, `_ratio` of the image side."""

    version: int
    lights: tuple[tuple[str, float], ...]  # name of a light -> how often
    main_ratio: Range  # height of the main object
    num_walkers: tuple[int, int]  # people and animals on the pavements
    num_traffic: tuple[int, int]  # objects on the carriageway beyond the main one
    parked: float  # chance that a parking place is taken
    furniture: float  # chance of a tree, lamp or sign at each place
    moving: float  # chance that an object that can move does
    speed_m: Range  # way of the camera between the two frames
    still: float  # chance that the camera stands
    height_m: Range
    focal: Range  # over the longer image side
    yaw_deg: Range
    pitch_deg: Range  # positive looks down
    roll_deg: float
    shake_deg: float  # change of each angle between the frames
    noise: Range  # standard deviation, grey levels
    blur: float  # chance of a defocused lens
    exposure: float  # change of brightness between the frames
    contrast: Range


LEVELS = {
    "easy": SceneLevel(
        version=1,
        lights=(("clear", 0.6), ("cloudy", 0.4)),
        main_ratio=(0.32, 0.6),
        num_walkers=(0, 1),
        num_traffic=(0, 0),
        parked=0.15,
        furniture=0.4,
        moving=0.7,
        speed_m=(0.2, 0.5),
        still=0.2,
        height_m=(1.4, 1.7),
        focal=(0.9, 1.0),
        yaw_deg=(-3, 3),
        pitch_deg=(0, 4),
        roll_deg=0.0,
        shake_deg=0.1,
        noise=(0.5, 1.5),
        blur=0.0,
        exposure=0.0,
        contrast=(0.95, 1.05),
    ),
    "street": SceneLevel(
        version=1,
        lights=(("clear", 0.3), ("cloudy", 0.2), ("dusk", 0.2), ("night", 0.15), ("fog", 0.15)),
        main_ratio=(0.18, 0.5),
        num_walkers=(1, 4),
        num_traffic=(0, 2),
        parked=0.35,
        furniture=0.7,
        moving=0.75,
        speed_m=(0.25, 0.9),
        still=0.1,
        height_m=(1.45, 1.75),
        focal=(0.9, 1.0),
        yaw_deg=(-8, 8),
        pitch_deg=(-5, 10),
        roll_deg=1.0,
        shake_deg=0.4,
        noise=(1.0, 5.0),
        blur=0.15,
        exposure=0.06,
        contrast=(0.8, 1.15),
    ),
    "hard": SceneLevel(
        version=1,
        lights=(("clear", 0.15), ("cloudy", 0.15), ("dusk", 0.2), ("night", 0.25), ("fog", 0.25)),
        main_ratio=(0.1, 0.45),
        num_walkers=(2, 7),
        num_traffic=(1, 4),
        parked=0.6,
        furniture=0.9,
        moving=0.65,
        speed_m=(0.3, 1.4),
        still=0.1,
        height_m=(1.0, 3.5),
        focal=(0.7, 1.2),
        yaw_deg=(-14, 14),
        pitch_deg=(-8, 16),
        roll_deg=4.0,
        shake_deg=1.0,
        noise=(2.0, 12.0),
        blur=0.4,
        exposure=0.15,
        contrast=(0.55, 1.2),
    ),
}
