"""Miniatures of the data sets, written by the tests: every layout that is read, a few small files each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.data.datasets.cifar_files import write_cifar

SHAPE = (24, 32)


def photo(file: Path, seed: int = 0, shape: tuple[int, int] = SHAPE) -> Path:
    rng = np.random.default_rng(seed)
    return png(file, rng.integers(0, 255, (*shape, 3), dtype=np.uint8))


def png(file: Path, pixels: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(file), pixels)
    return file


def ids(values: Sequence[int], shape: tuple[int, int] = SHAPE) -> np.ndarray[Any, Any]:
    """A label map with a vertical stripe for each value."""
    columns = np.arange(shape[1]) * len(values) // shape[1]
    return np.broadcast_to(np.asarray(values, np.uint8)[columns], shape).copy()


def steps(values: Sequence[int], shape: tuple[int, int] = SHAPE) -> np.ndarray[Any, Any]:
    """A 16-bit depth map with a vertical stripe for each value."""
    columns = np.arange(shape[1]) * len(values) // shape[1]
    return np.broadcast_to(np.asarray(values, np.uint16)[columns], shape).copy()


def camvid(root: Path) -> None:
    for split, names in (("train", ("0001TP_000010", "0006R0_f000020")), ("val", ("0016E5_000030",))):
        for i, name in enumerate(names):
            photo(root / split / "images" / f"{name}.jpg", i)
            png(root / split / "labels" / f"{name}.png", ids([*range(11), 255]))


def nyuv2(root: Path) -> None:
    for split, numbers in (("train", (3, 4)), ("val", (9,))):
        for n in numbers:
            photo(root / split / "rgb" / f"{n:04}.jpg", n)
            png(root / split / "depth" / f"{n:04}.png", steps([713, 2500, 9995, 0]))
            png(root / split / "seg13" / f"{n:04}.png", ids([0, 12, 255, 4]))
            png(root / split / "seg40" / f"{n:04}.png", ids([0, 38, 255, 4]))


def sevenscenes(root: Path) -> None:
    for n in range(4):
        for i in range(3):
            stem = root / f"seq-{n + 1:02}" / f"frame-{i:06}"
            photo(stem.with_suffix(".color.png"), 10 * n + i)
            png(stem.with_suffix(".depth.png"), steps([0, 800, 65535, 3565]))
            stem.with_suffix(".pose.txt").write_text("1 0 0 0\n")
    (root / "TrainSplit.txt").write_text("sequence1\nsequence3\nsequence4\n")
    (root / "TestSplit.txt").write_text("sequence2\n")


def kitti_depth(root: Path) -> None:
    for split, drive, frames in (
        ("train", "2011_09_26_drive_0001_sync", 6),
        ("val", "2011_09_26_drive_0002_sync", 4),
    ):
        folder = root / split / drive
        for i in range(frames):
            photo(folder / "image_02/data" / f"{i:010}.png", i)
            if 0 < i < frames - 1:
                png(folder / "proj_depth/groundtruth/image_02" / f"{i:010}.png", steps([0, 1079, 20276, 0]))


def davis16(root: Path) -> None:
    for name, frames in (("bear", 4), ("boat", 3), ("dog", 3), ("camel", 2)):
        for i in range(frames):
            photo(root / "JPEGImages/480p" / name / f"{i:05}.jpg", i)
            png(root / "Annotations/480p" / name / f"{i:05}.png", ids([0, 255]))


def cdnet(root: Path) -> None:
    video = root / "baseline/highway"
    for i in range(1, 11):
        photo(video / "input" / f"in{i:06}.jpg", i)
        png(video / "groundtruth" / f"gt{i:06}.png", ids([0, 50, 85, 170, 255] if i > 3 else [85]))
    (video / "temporalROI.txt").write_text("4 10")


def image_mask_folder(root: Path) -> None:
    for i in range(6):
        photo(root / "images" / f"{i}.jpg", i)
        png(root / "masks" / f"{i}.png", ids([0, 1, 2, 255]))


def image_depth_folder(root: Path) -> None:
    for i in range(6):
        photo(root / "images" / f"{i}.jpg", i)
        png(root / "depth" / f"{i}.png", steps([0, 500, 1500, 65535]))


def image_mask_depth_folder(root: Path) -> None:
    image_mask_folder(root)
    image_depth_folder(root)


def frame_pair_folder(root: Path) -> None:
    for name, frames in (("a", 4), ("b", 3), ("c", 3)):
        for i in range(8, 8 + frames):
            photo(root / "images" / name / f"{i}.jpg", i)
            png(root / "masks" / name / f"{i}.png", ids([0, 1, 255]))


def image_folder(root: Path) -> None:
    for name in ("cat", "dog"):
        for i in range(4):
            photo(root / name / f"{i}.jpg", i)


def auto(root: Path) -> None:
    image_mask_folder(root)


def cifar10(root: Path) -> None:
    write_cifar(root, 10)


def cifar100(root: Path) -> None:
    write_cifar(root, 100)


WRITERS: tuple[Callable[[Path], None], ...] = (
    camvid, nyuv2, sevenscenes, kitti_depth, davis16, cdnet, image_mask_folder, image_depth_folder,
    image_mask_depth_folder, frame_pair_folder, image_folder, auto, cifar10, cifar100,
)  # fmt: skip


@pytest.fixture
def miniature(tmp_path: Path) -> Callable[[str], Path]:
    """Writes the miniature of a set and gives its root."""
    by_name = {writer.__name__: writer for writer in WRITERS}

    def write(name: str) -> Path:
        assert name in by_name, f"{name}: write a miniature of it into {__file__}"
        by_name[name](tmp_path / name)
        return tmp_path / name

    return write
