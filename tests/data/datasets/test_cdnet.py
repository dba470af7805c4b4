"""CDnet: grays of the published masks, frames that were labelled."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.datasets.conftest import ids, photo, png
from xvision.data.datasets import dataset
from xvision.data.detect import detect


def build(root, **settings):
    return dataset.cdnet(root=str(root), **settings).build()


def test_grays_become_static_moving_and_unknown(miniature):
    motion = build(miniature("cdnet")).splits["val"].load(0)["motion"]
    assert motion[0, [0, 8, 14, 20, 31]].tolist() == [0, 0, 255, 255, 1]


@pytest.mark.parametrize("above", ["", "baseline", "baseline/highway"])
def test_labelled_frames_of_a_video_or_a_category_or_all(miniature, above):
    root = miniature("cdnet") / above
    assert detect(str(root)).name == "cdnet"
    made = build(root)
    assert {name: len(split) for name, split in made.splits.items()} == {"train": 6, "val": 1}
    assert made.splits["train"].names[0].endswith("input/in000004.jpg")
    assert made.splits["val"].names[0].endswith("input/in000010.jpg")


def test_a_gap_between_the_frames(miniature):
    root = miniature("cdnet")
    near, far = build(root), build(root, frame_gap=2)
    assert (far.splits["train"].load(1)["previous"] == near.splits["train"].load(0)["previous"]).all()


def test_lists_of_pairs_with_masks_as_they_are_stored(tmp_path):
    for i in range(3):
        photo(tmp_path / f"images/{i}.jpg", i)
        png(tmp_path / f"masks/{i}.png", ids([0, 1, 255]))
    for split in ("train", "val"):
        (tmp_path / f"{split}_pairs.txt").write_text("images/0.jpg images/1.jpg masks/1.png\n")
    assert np.unique(build(tmp_path).splits["val"].load(0)["motion"]).tolist() == [0, 1, 255]
    with pytest.raises(ValueError, match=r"^data.frame_gap: expected no frame_gap, because the lists"):
        build(tmp_path, frame_gap=2)
    png(tmp_path / "masks/1.png", ids([0, 85]))
    with pytest.raises(
        ValueError, match=r"masks/1.png: expected the values 0-1, 255, got 85 \(in 384 pixels"
    ):
        build(tmp_path).splits["val"].load(0)


def test_what_is_missing_is_told(miniature, tmp_path):
    with pytest.raises(
        ValueError, match=rf"expected CDnet as VIDEO.*; {tmp_path} holds none of them. Download videos fr"
    ):
        build(tmp_path)
    root = miniature("cdnet")
    video = root / "baseline/highway"
    (video / "groundtruth/gt000007.png").unlink()
    with pytest.raises(
        ValueError,
        match=r"input/in000007.jpg: no mask belongs to it; expected .*/groundtruth/gt000007.png$",
    ):
        build(root)
    png(video / "groundtruth/gt000007.png", ids([0]))
    (video / "temporalROI.txt").write_text("4")
    with pytest.raises(
        ValueError,
        match=r"temporalROI.txt: expected the numbers of the first and the last labelled frame, got '",
    ):
        build(root)
