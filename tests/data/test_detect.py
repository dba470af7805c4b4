"""data=auto: the set in a folder is recognised by its files."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from xvision.data.dataset import DataError
from xvision.data.datasets import dataset
from xvision.data.detect import detect


def paint(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(folder / name), np.zeros((4, 4, 3), np.uint8))


def test_images_in_class_folders_are_recognised(tmp_path):
    paint(tmp_path, "cat/0.png", "cat/1.png", "dog/0.png", "dog/1.png")
    part = detect(str(tmp_path))
    assert (part.name, part.settings["root"]) == ("image_folder", str(tmp_path))
    made = dataset.auto(root=str(tmp_path)).build()
    assert (made.name, made.classes["class"]) == ("image_folder", ("cat", "dog"))


def test_an_archive_is_recognised_before_it_is_whole(tmp_path):
    (tmp_path / "cifar-100-python.tar.gz").touch()
    assert detect(str(tmp_path)).name == "cifar100"


def test_two_answers_are_both_named(tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").touch()
    (tmp_path / "cifar-100-python.tar.gz").touch()
    with pytest.raises(
        ValueError, match=r"it could be cifar10 or cifar100; say which: data=cifar10 data.root=/.*$"
    ):
        detect(str(tmp_path))


def test_a_set_with_a_name_goes_before_a_layout_that_many_have(tmp_path):
    paint(tmp_path, "cat/0.png")
    (tmp_path / "cifar-10-python.tar.gz").touch()
    assert detect(str(tmp_path)).name == "cifar10"


def test_images_and_masks_are_no_classes(tmp_path):
    paint(tmp_path, "images/0.png", "masks/0.png")
    assert detect(str(tmp_path)).name == "image_mask_folder"
    paint(tmp_path / "more", "images/a/0.png", "masks/a/0.png")
    assert detect(str(tmp_path / "more")).name == "frame_pair_folder"


def test_images_and_depth(tmp_path):
    paint(tmp_path / "own", "train/images/0.png", "train/depth/0.png")
    assert detect(str(tmp_path / "own")).name == "image_depth_folder"
    paint(tmp_path / "any", "train/rgb/0.png", "train/depth/0.png")
    with pytest.raises(DataError, match="no data set was recognised in it"):
        detect(str(tmp_path / "any"))


def test_masks_that_are_no_png_are_recognised_and_told(tmp_path):
    paint(tmp_path, "images/0.png", "masks/0.jpg")
    with pytest.raises(DataError, match=r"expected .*masks/0.png, got 0.jpg: save it as .png$"):
        dataset.auto(root=str(tmp_path)).build()


def test_no_answer_names_who_was_asked(tmp_path):
    with pytest.raises(
        ValueError,
        match=r"no data set was recognised in it \(asked: .*cifar10, cifar100, .*image_folder.*\); say which",
    ):
        detect(str(tmp_path))


@pytest.mark.parametrize(("name", "there"), [("kitti_depth", "nyuv2"), ("camvid", "nyuv2")])
def test_a_set_is_not_read_as_another_one(tmp_path, name, there):
    paint(
        tmp_path,
        *(f"{split}/{kind}/0.png" for split in ("train", "val") for kind in ("rgb", "depth", "seg13")),
    )
    with pytest.raises(
        DataError,
        match=rf"^data.root: expected .*; {tmp_path} .*looks like {there} \(data={there}\). .* set data.root to",
    ):
        dataset.part(name, {"root": str(tmp_path)}).build()


def test_a_root_is_needed_and_must_exist(tmp_path):
    with pytest.raises(
        ValueError, match=r"^data.root: expected the folder of a data set; set data.root=DIR$"
    ):
        dataset.auto().build()
    with pytest.raises(
        ValueError, match=rf"^data.root: expected a data set; looked for {tmp_path}/no, nothing is there. S"
    ):
        detect(str(tmp_path / "no"))
