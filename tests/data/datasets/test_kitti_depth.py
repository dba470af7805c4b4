"""KITTI depth: drives, and plain folders."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tests.data.datasets.conftest import photo, png, steps
from xvision.data.datasets import dataset

DRIVE = "train/2011_09_26_drive_0001_sync"


def sizes(made) -> dict[str, int]:
    return {name: len(split) for name, split in made.splits.items()}


def build(root, **settings):
    return dataset.kitti_depth(root=str(root), **settings).build()


def test_frames_with_depth_of_the_drives_of_each_split(miniature):
    made = build(miniature("kitti_depth"))
    assert sizes(made) == {"train": 4, "val": 2}
    assert made.splits["train"].names[0] == f"{DRIVE}/image_02/data/0000000001.png"
    np.testing.assert_allclose(
        np.unique(made.splits["val"].load(0)["depth"]), [0, 1079 / 256, 20276 / 256], rtol=1e-6
    )


def test_drives_are_split_by_lists_or_by_seed(miniature, tmp_path):
    root = miniature("kitti_depth")
    drives = tmp_path / "drives"
    drives.mkdir()
    for drive in (*(root / "train").iterdir(), *(root / "val").iterdir()):
        drive.rename(drives / drive.name)
    assert sizes(build(drives)) in ({"train": 4, "val": 2}, {"train": 2, "val": 4})
    first, second = sorted(drive.name for drive in drives.iterdir())
    (drives / "train.txt").write_text(f"{second}\n")
    (drives / "val.txt").write_text(f"{first}\n")
    assert sizes(build(drives)) == {"train": 2, "val": 4}
    (drives / "val.txt").write_text(f"{first} nodrive\n")
    with pytest.raises(ValueError, match=rf"^{drives}/val.txt: no drive nodrive with depth in {drives}$"):
        build(drives)


def test_one_drive_is_held_out_at_its_end(miniature):
    root = miniature("kitti_depth") / DRIVE
    made = build(root, val_ratio=0.25)
    assert made.splits["val"].names == ("image_02/data/0000000004.png",)
    assert len(made.splits["train"]) == 3


@pytest.mark.parametrize("inside", ["", "sample"])
def test_folders_of_colour_and_depth_are_split_by_seed(tmp_path, inside):
    for i in range(5):
        photo(tmp_path / inside / f"rgb/{i:06}.jpg", i, (12, 40))
        png(tmp_path / inside / f"depth/{i:06}.png", steps([0, 256], (12, 40)))
    made = build(tmp_path)
    assert sizes(made) == {"train": 4, "val": 1}
    assert made.splits["val"].load(0)["depth"].max() == 1


def test_a_drive_without_images_and_depth_without_a_frame_are_told(miniature, tmp_path):
    root = miniature("kitti_depth")
    (root / DRIVE / "image_02/data/0000000002.png").unlink()
    with pytest.raises(
        ValueError,
        match=r"groundtruth/image_02/0000000002.png: no image belongs to it; expected .*/image_02/data/0000",
    ):
        build(root)
    shutil.rmtree(root / DRIVE / "image_02")
    with pytest.raises(
        ValueError,
        match=rf"^{root}/{DRIVE}: expected its images in image_02/data/; copy them there from the raw drive$",
    ):
        build(root)
    with pytest.raises(
        ValueError,
        match=rf"expected KITTI as rgb/ .*; {tmp_path} holds none of them and looks like .*. Get",
    ):
        build(tmp_path)
