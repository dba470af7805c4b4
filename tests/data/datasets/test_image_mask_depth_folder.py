"""People's own images with masks and depth: one set, whose samples have both."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from tests.data.datasets.conftest import ids, png
from xvision.data.concat import check_labels, open_data
from xvision.data.datasets import dataset
from xvision.data.settings import Data


def test_a_folder_with_both_labels_is_recognised_as_one_set(miniature):
    root = miniature("image_mask_depth_folder")
    found = open_data(Data(dataset={"auto": {"root": str(root)}}, size=(24, 32)))
    check_labels(found, "train", {"segmentation": ("segmentation",), "depth": ("depth",)})
    assert {name: len(split) for name, split in found.splits.items()} == {"train": 5, "val": 1}
    sample = found.splits["val"].load(0)
    assert list(sample) == ["image", "segmentation", "depth"]
    assert np.unique(sample["segmentation"]).tolist() == [0, 1, 2, 255]
    assert np.unique(sample["depth"]).tolist() == [0, 0.5, 1.5]


def test_settings_of_both_labels(miniature):
    root = miniature("image_mask_depth_folder")
    for i in range(6):
        png(root / f"masks/{i}.png", ids([0, 255]))
    (root / "names.txt").write_text("wall\nlamp\n")
    made = dataset.image_mask_depth_folder(
        root=str(root), classes="names.txt", values=(0, 255), unit=0.002
    ).build()
    assert made.classes == {"segmentation": ("wall", "lamp")}
    sample = made.splits["val"].load(0)
    assert np.unique(sample["segmentation"]).tolist() == [0, 1]
    assert np.unique(sample["depth"]).tolist() == [0, 1, 3]


def test_what_is_missing_is_told(miniature):
    root = miniature("image_mask_depth_folder")
    (root / "depth/3.png").unlink()
    with pytest.raises(
        ValueError,
        match=rf"^{root}/images/3.jpg: no depth map belongs to it; expected {root}/depth/3.png or .npy$",
    ):
        dataset.image_mask_depth_folder(root=str(root)).build()
    shutil.rmtree(root / "depth")
    with pytest.raises(
        ValueError,
        match=rf"^{root}: expected images, masks and depth maps, ROOT/.*; it holds no such folders; rename them, or"
        r" set data.images and data.masks and data.depth to their names$",
    ):
        dataset.image_mask_depth_folder(root=str(root)).build()
