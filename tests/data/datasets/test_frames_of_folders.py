"""People's own images as frames: the one before each, for networks that take it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.datasets.conftest import ids, photo, png
from xvision.data.concat import join
from xvision.data.datasets import dataset
from xvision.data.flow import split_for

FOLDERS = {
    "image_mask_folder": ("masks",),
    "image_depth_folder": ("depth",),
    "image_mask_depth_folder": ("masks", "depth"),
}
LABELS = {"masks": ids([0, 1]), "depth": np.full((24, 32), 2000, np.uint16)}


def frames(root, labels, *sequences):
    for sequence in sequences:
        for i in range(8, 12):
            photo(root / f"images/{sequence}/{i}.jpg", 10 * ord(sequence[0]) + i)
            for label in labels:
                png(root / f"{label}/{sequence}/{i}.png", LABELS[label])


@pytest.mark.parametrize("name", FOLDERS)
def test_a_gap_gives_the_frame_before(tmp_path, name):
    frames(tmp_path, FOLDERS[name], "a", "b", "c")
    made = dataset.part(name, {"root": str(tmp_path), "frame_gap": 1}).build()
    assert made.fields[:2] == ("image", "previous")
    assert {split: len(found) for split, found in made.splits.items()} == {"train": 6, "val": 3}
    assert len({sample.split("/")[1] for sample in made.splits["val"].names}) == 1, (
        "whole sequences are held out"
    )
    train = made.splits["train"]
    at = next(i for i, sample in enumerate(train.names) if sample.endswith("/11.jpg"))
    assert train.names[at - 1].endswith("/10.jpg"), "numbers by value"
    assert (train.load(at)["previous"] == train.load(at - 1)["image"]).all()
    assert "flow" in split_for(made, "train", ("image", "flow")).load(at)
    # without one, as ever: images that know nothing of each other
    with pytest.warns(
        UserWarning, match="single images of 3 folders are held out for 'val'; if those are sequences"
    ):
        alone = dataset.part(name, {"root": str(tmp_path)}).build()
    assert "previous" not in alone.fields
    assert sum(map(len, alone.splits.values())) == 12


def test_frames_without_labels(tmp_path):
    frames(tmp_path, ("masks", "depth"), "a", "b")
    for label in ("masks", "depth"):
        (tmp_path / f"{label}/a/9.png").unlink()

    def build(**settings):
        return dataset.image_mask_depth_folder(root=str(tmp_path), frame_gap=1, **settings).build()

    with pytest.raises(
        ValueError, match=r"images/a/9.jpg: no mask .*; data.every_frame=false allows frames without"
    ):
        build()
    names = {name for split in build(every_frame=False).splits.values() for name in split.names}
    assert names == {f"images/{s}/{i}.jpg" for s in "ab" for i in (9, 10, 11)} - {"images/a/9.jpg"}
    (tmp_path / "depth/a/10.png").unlink()
    with pytest.raises(ValueError, match=r"^[^\n]*images/a/10.jpg: no depth map belongs to it[^\n]*$"):
        build(every_frame=False)


def test_sequences_without_labels_are_left_out(tmp_path):
    frames(tmp_path, ("masks",), "a", "b", "c")
    for i in (9, 10, 11):
        (tmp_path / f"masks/c/{i}.png").unlink()  # 8 has a mask and no frame before it
    made = dataset.image_mask_folder(root=str(tmp_path), frame_gap=1, every_frame=False).build()
    assert {name.split("/")[1] for split in made.splits.values() for name in split.names} == {"a", "b"}


def test_wrong_gaps(tmp_path):
    frames(tmp_path, ("depth",), "a", "b")
    with pytest.raises(ValueError, match=r"^data.frame_gap: expected 0 or more frames, got -1$"):
        dataset.image_depth_folder(root=str(tmp_path), frame_gap=-1).build()
    with pytest.raises(ValueError, match=r"^data.every_frame: expected data.frame_gap=1 or more beside it"):
        dataset.image_depth_folder(root=str(tmp_path), every_frame=False).build()
    with pytest.raises(
        ValueError,
        match=r"images/a: expected more than 9 frames with a depth map, got 4 \(8.jpg, …\); add frames",
    ):
        dataset.image_depth_folder(root=str(tmp_path), frame_gap=9).build()
    for part in ("images", "depth"):
        (tmp_path / "train").mkdir(exist_ok=True)
        (tmp_path / part).rename(tmp_path / "train" / part)
    frames(tmp_path / "val", ("depth",), "c")
    made = dataset.image_depth_folder(root=str(tmp_path)).build()
    with pytest.raises(
        ValueError, match=r"expected a previous frame for net.inputs=image\+previous.*data.frame_gap=1"
    ):
        split_for(made, "train", ("image", "previous"))
    joined = join({"image_depth_folder": made, "scenes": dataset.scenes(num_train=2, num_val=2).build()})
    with pytest.raises(
        ValueError, match=r"^image_depth_folder: expected a previous .*data.image_depth_folder.frame_gap=1"
    ):
        split_for(joined, "train", ("image", "previous"))


def test_classes_and_motion_of_two_sets_of_frames(tmp_path):
    frames(tmp_path / "classes", ("masks",), "a", "b")
    frames(tmp_path / "moving", ("masks",), "c", "d")
    both = join(
        {
            "image_mask_folder": dataset.image_mask_folder(
                root=str(tmp_path / "classes"), frame_gap=1
            ).build(),
            "frame_pair_folder": dataset.frame_pair_folder(root=str(tmp_path / "moving")).build(),
        }
    )
    flowing = split_for(both, "train", ("image", "flow", "confidence"))
    labels = [set(flowing.load(i)) & {"segmentation", "motion"} for i in (0, len(flowing) - 1)]
    assert labels == [{"segmentation"}, {"motion"}]
