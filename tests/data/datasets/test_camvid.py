"""CamVid in both of its layouts."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tests.data.datasets.conftest import ids, photo, png
from xvision.data.datasets import dataset
from xvision.data.detect import detect


def test_ids_and_unknown(miniature):
    made = dataset.camvid(root=str(miniature("camvid"))).build()
    assert {name: len(split) for name, split in made.splits.items()} == {"train": 2, "val": 1}
    assert made.classes["segmentation"][8:] == ("car", "pedestrian", "bicyclist")
    train = made.splits["train"]
    assert train.names == ("train/images/0001TP_000010.jpg", "train/images/0006R0_f000020.jpg")
    sample = train.load(0)
    assert np.unique(sample["segmentation"]).tolist() == [*range(11), 255]


def test_the_layout_of_segnet(tmp_path):
    for split in ("train", "val", "test"):
        photo(tmp_path / split / "0016E5_00390.png")
        png(tmp_path / f"{split}annot/0016E5_00390.png", ids([0, 10, 11]))
    assert detect(str(tmp_path)).name == "camvid"
    made = dataset.camvid(root=str(tmp_path)).build()
    assert list(made.splits) == ["train", "val", "test"]
    assert np.unique(made.splits["test"].load(0)["segmentation"]).tolist() == [0, 10, 255]


def test_other_frames_are_not_taken_for_camvid(miniature):
    root = miniature("image_mask_folder")
    assert detect(str(root)).name == "image_mask_folder"


def test_what_is_missing_is_told(miniature, tmp_path):
    root = miniature("camvid")
    (root / "train/labels/0001TP_000010.png").unlink()
    with pytest.raises(
        ValueError,
        match=rf"^{root}/train/images/0001TP_000010.jpg: no label belongs to it; expected "
        rf"{root}/train/labels/0001TP_000010.png$",
    ):
        dataset.camvid(root=str(root)).build()
    shutil.rmtree(root)
    root.mkdir()
    with pytest.raises(
        ValueError,
        match=rf"^data.root: expected CamVid as train/images/ .*; {root} holds none of them. Get the folder CamVid of ",
    ):
        dataset.camvid(root=str(root)).build()


def test_a_foreign_value_is_named(miniature):
    root = miniature("camvid")
    png(root / "val/labels/0016E5_000030.png", ids([0, 12]))
    with pytest.raises(
        ValueError,
        match=r"0016E5_000030.png: expected the values 0-11, 255, got 12 \(in 384 pixels, the first in row 0, "
        r"column 16\); fix the file",
    ):
        dataset.camvid(root=str(root)).build().splits["val"].load(0)
