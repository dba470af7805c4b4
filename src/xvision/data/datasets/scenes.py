"""Drawn street scenes: every task's labels, no download."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Literal

from xvision.config.sizes import Size
from xvision.data.dataset import Dataset, Sample, Split
from xvision.data.datasets import dataset
from xvision.data.joints import COCO
from xvision.data.scenes import BOX_CLASSES, FIELDS, LEVELS, SCENE_CLASSES, SEGMENTATION_CLASSES, scene

VAL_FIRST = 10_000_000
"""Seeds of validation scenes start here, those of training scenes below, whatever the settings."""


@dataset
def scenes(
    *,
    level: Literal["easy", "street", "hard"] = "street",
    num_train: int = 2000,
    num_val: int = 400,
    seed: int = 0,
    size: Size = "128x128",  # type: ignore[assignment]
) -> Dataset:
    """Drawn street scenes with labels for every task, made on the spot.

    The same settings give the same scenes on every machine; `seed` chooses others. Train and val never share one.

    Raises: ValueError if a number is out of range.
    """
    problems = [
        f"scenes.{key}: expected {low} to {high}, got {value}"
        for key, value, low, high in (
            ("num_train", num_train, 1, VAL_FIRST),
            ("num_val", num_val, 1, VAL_FIRST),
            ("seed", seed, 0, 1_000_000),
        )
        if not low <= value <= high
    ]
    if min(size) < 16:
        problems.append(f"scenes.size: expected at least 16x16, got {size[0]}x{size[1]}")
    if problems:
        raise ValueError("; ".join(problems))
    first = seed * 2 * VAL_FIRST
    return Dataset(
        name="scenes",
        fields=FIELDS,
        classes={"class": SCENE_CLASSES, "segmentation": SEGMENTATION_CLASSES, "boxes": BOX_CLASSES},
        joints=COCO,
        splits={
            "train": _split(level, first, num_train, size),
            "val": _split(level, first + VAL_FIRST, num_val, size),
        },
    )


def _load(first: int, size: tuple[int, int], level: str, index: int) -> Sample:
    return scene(first + index, size, level)


def _digest(first: int, number: int, size: tuple[int, int], level: str) -> str:
    text = f"scenes {level} version {LEVELS[level].version}: {number} from {first} at {size[0]}x{size[1]}"
    return hashlib.sha256(text.encode()).hexdigest()


def _split(level: str, first: int, number: int, size: tuple[int, int]) -> Split:
    return Split(
        names=tuple(f"scene {first + i} ({level})" for i in range(number)),
        load=partial(_load, first, size, level),
        digest=partial(_digest, first, number, size, level),
    )
