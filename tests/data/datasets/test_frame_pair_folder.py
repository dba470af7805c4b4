"""People's own sequences of frames with masks."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.datasets.conftest import ids, photo, png
from xvision.data.dataset import DataError
from xvision.data.datasets import dataset


def build(root, **settings):
    return dataset.frame_pair_folder(root=str(root), **settings).build()


@pytest.fixture
def root(miniature):
    return miniature("frame_pair_folder")


def names(made) -> set[str]:
    return {name for split in made.splits.values() for name in split.names}


def test_the_previous_frame_is_the_one_before_by_the_value_of_its_number(root):
    made = build(root)
    assert names(made) == {
        f"images/{s}/{i}.jpg" for s, n in (("a", 4), ("b", 3), ("c", 3)) for i in range(9, 8 + n)
    }
    for split in made.splits.values():
        for i, name in enumerate(split.names):
            if name.endswith("/10.jpg"):
                before = split.load(split.names.index(name.replace("/10", "/9")))
                assert (split.load(i)["previous"] == before["image"]).all()
    assert np.unique(made.splits["val"].load(0)["motion"]).tolist() == [0, 1, 255]


def test_whole_sequences_are_held_out(root):
    made = build(root)
    train, val = ({n.split("/")[1] for n in made.splits[s].names} for s in ("train", "val"))
    assert not train & val
    assert len(val) == 1


def test_the_end_of_a_single_sequence_is_held_out(tmp_path):
    for i in range(6):
        photo(tmp_path / f"images/{i}.jpg", i)
        png(tmp_path / f"masks/{i}.png", ids([0, 1]))
    made = build(tmp_path)
    assert made.splits["val"].names == ("images/5.jpg",)
    assert len(made.splits["train"]) == 4


def test_a_gap(root):
    made = build(root, frame_gap=2)
    assert names(made) == {"images/a/10.jpg", "images/a/11.jpg", "images/b/10.jpg", "images/c/10.jpg"}
    with pytest.raises(
        ValueError,
        match=rf"^{root}: 2 problems:\n  {root}/images/b: expected more than 3 frames with a mask, got 3 \(8.jpg, …\)",
    ):
        build(root, frame_gap=3)
    with pytest.raises(ValueError, match=r"^data.frame_gap: expected 1 or more frames, got 0$"):
        build(root, frame_gap=0)


def test_frames_without_a_mask(root):
    (root / "masks/a/9.png").unlink()
    (root / "masks/a/8.png").unlink()
    with pytest.raises(ValueError, match=rf"^{root}: 2 problems:\n") as raised:
        build(root)
    assert f"{root}/images/a/9.jpg: no mask belongs to it; expected {root}/masks/a/9.png" in str(raised.value)
    made = build(root, every_frame=False)
    assert {n for n in names(made) if "/a/" in n} == {"images/a/10.jpg", "images/a/11.jpg"}
    (root / "images/b/8.jpg").unlink()
    with pytest.raises(
        ValueError, match=rf"^{root}/masks/b/8.png: no image belongs to it; expected {root}/images/b/8"
    ):
        build(root, every_frame=False)


def test_lists_of_pairs_go_before_folders(root):
    (root / "train_pairs.txt").write_text("images/a/8.jpg images/a/11.jpg masks/a/11.png\n")
    (root / "val_pairs.txt").write_text("images/b/8.jpg images/b/9.jpg masks/b/9.png\n")
    made = build(root)
    assert names(made) == {"images/a/11.jpg", "images/b/9.jpg"}
    with pytest.raises(ValueError, match=r"^data.frame_gap: expected no frame_gap, because the lists"):
        build(root, frame_gap=2)
    (root / "val_pairs.txt").write_text("images/b/8.jpg images/b/99.jpg masks/b/9.png\n")
    with pytest.raises(ValueError, match=rf"^{root}/val_pairs.txt, line 1: images/b/99.jpg is not there$"):
        build(root)


def test_white_may_mean_moving(root):
    for mask in (root / "masks").rglob("*.png"):
        png(mask, ids([0, 255]))
    line = (
        rf"{root}: nothing moves in '%s': its [2-5] masks hold 0, 255 \(255 is unknown\), and what moves is 1; fix "
        "the mask, or set data.moving to the value of moving pixels"
    )
    with pytest.raises(DataError, match=rf"^{line % 'train'}\n{line % 'val'}$"):
        build(root)
    made = build(root, moving=255)
    assert np.unique(made.splits["val"].load(0)["motion"]).tolist() == [0, 1]
    with pytest.raises(
        ValueError, match=r"^data.moving: expected the value of moving pixels in the masks, 1 to 255, g"
    ):
        build(root, moving=0)


def test_a_split_in_which_nothing_moves_is_worth_a_warning(tmp_path):
    for split in ("train", "val"):
        for i in range(40):
            photo(tmp_path / split / f"images/a/{i}.jpg", i)
            png(tmp_path / split / f"masks/a/{i}.png", ids([0, int(split == "train" and i == 23)]))
    with pytest.warns(
        UserWarning, match=r": nothing moves in 'val': its 39 masks hold 0, and what moves is"
    ) as warned:
        build(tmp_path)
    assert len(warned) == 1


def test_a_wrong_mask_is_named(root):
    for i in range(8, 11):
        png(root / f"masks/b/{i}.png", ids([0, 2]))
        png(root / f"masks/a/{i}.png", ids([0, 1], (12, 16)))
    made = build(root)
    split = next(s for s in made.splits.values() if "images/b/9.jpg" in s.names)
    with pytest.raises(
        ValueError,
        match=r"masks/b/9.png: expected the values 0-1, 255, got 2 .*; fix the mask, or set data.moving to ",
    ):
        split.load(split.names.index("images/b/9.jpg"))
    split = next(s for s in made.splits.values() if "images/a/9.jpg" in s.names)
    with pytest.raises(
        ValueError, match=r"images/a/9.jpg is 24x32 and .*masks/a/9.png is 12x16: expected files of one"
    ):
        split.load(split.names.index("images/a/9.jpg"))


def test_what_is_missing_is_told(tmp_path):
    with pytest.raises(
        ValueError, match=rf"^{tmp_path}: expected frames and masks, ROOT.*; it holds no such folders; re"
    ):
        build(tmp_path)
