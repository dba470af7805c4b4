"""DAVIS 2016 as it is published, and as lists of pairs."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.datasets.conftest import ids, photo, png
from xvision.data.datasets import dataset
from xvision.data.datasets.davis16 import TRAIN, VAL


def build(root, **settings):
    return dataset.davis16(root=str(root), **settings).build()


def test_the_official_split():
    assert (len(TRAIN), len(VAL), len({*TRAIN, *VAL})) == (30, 20, 50)


def test_pairs_of_consecutive_frames_and_what_moves(miniature):
    root = miniature("davis16")
    made = build(root)
    assert {name: len(split) for name, split in made.splits.items()} == {"train": 5, "val": 3}
    assert made.splits["train"].names[0] == "JPEGImages/480p/bear/00001.jpg"
    sample = made.splits["val"].load(0)
    assert np.unique(sample["motion"]).tolist() == [0, 1]
    first = made.splits["train"].load(0)
    second = made.splits["train"].load(1)
    assert (second["previous"] == first["image"]).all()
    assert not (first["previous"] == first["image"]).all()


def test_a_larger_gap_leaves_short_sequences_out_of_the_question(miniature):
    root = miniature("davis16")
    with pytest.raises(
        ValueError,
        match=rf"^{root}/JPEGImages/480p/camel: expected more than 2 frames with a mask, got 2 ",
    ):
        build(root, frame_gap=2)
    with pytest.raises(ValueError, match=r"^data.frame_gap: expected 1 or more frames, got 0$"):
        build(root, frame_gap=0)


def write_lists(root):
    for split in ("train", "val"):
        for i in range(3):
            photo(root / split / "images/dog" / f"{i}.jpg", i)
            png(root / split / "masks/dog" / f"{i}.png", ids([0, 1]))
        (root / f"{split}_pairs.txt").write_text(
            "".join(
                f"{split}/images/dog/{i}.jpg {split}/images/dog/{i + 1}.jpg {split}/masks/dog/{i + 1}.png\n"
                for i in range(2)
            )
        )
    return root


def test_lists_of_pairs(tmp_path):
    root = write_lists(tmp_path)
    made = dataset.auto(root=str(root)).build()
    assert made.name == "davis16"
    with pytest.raises(
        ValueError,
        match=rf"^data.frame_gap: expected no frame_gap, because the lists in {root} name the previous frames, got 2",
    ):
        build(root, frame_gap=2)
    assert made.splits["val"].names == ("val/images/dog/1.jpg", "val/images/dog/2.jpg")
    assert np.unique(made.splits["val"].load(0)["motion"]).tolist() == [0, 1]


def test_lists_with_errors_are_told_line_by_line(tmp_path):
    root = write_lists(tmp_path)
    (root / "train/images/dog/1.jpg").unlink()
    (root / "val_pairs.txt").write_text("\na b\n")
    with pytest.raises(ValueError, match=rf"^{root}: 3 problems:\n") as raised:
        build(root)
    assert f"  {root}/train_pairs.txt, line 1: train/images/dog/1.jpg is not there\n" in str(raised.value)
    assert f"    also {root}/train_pairs.txt, line 2\n" in str(raised.value)
    assert f"{root}/val_pairs.txt, line 2: expected 'PREVIOUS CURRENT MASK', got 'a b'" in str(raised.value)


def test_lists_of_other_sequences_are_not_taken_for_its_own(tmp_path):
    root = write_lists(tmp_path)
    for split in ("train", "val"):
        (root / split / "images/dog").rename(root / split / "images/hall")
        lists = root / f"{split}_pairs.txt"
        lists.write_text(lists.read_text().replace("images/dog", "images/hall"))
    with pytest.raises(
        ValueError,
        match=rf"expected DAVIS .*; {root} holds none of them and looks like frame_pair_folder \(data=frame_p",
    ):
        build(root)


def test_what_is_missing_is_told(tmp_path, miniature):
    with pytest.raises(
        ValueError, match=rf"expected DAVIS as JPEG.*; {tmp_path} holds none of them. Download DAVIS 2016"
    ):
        build(tmp_path)
    root = miniature("davis16")
    (root / "Annotations/480p/bear/00000.png").unlink()
    with pytest.raises(
        ValueError, match=r"480p/bear/00000.jpg: no mask belongs to it; expected .*/bear/00000.png$"
    ):
        build(root)
