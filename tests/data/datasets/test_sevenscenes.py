"""7-Scenes as it is published, and in folders of colour and depth."""

from __future__ import annotations

import numpy as np
import pytest

from tests.data.datasets.conftest import photo, png, steps
from xvision.data.datasets import dataset
from xvision.data.detect import detect


def sizes(made) -> dict[str, int]:
    return {name: len(split) for name, split in made.splits.items()}


def test_missing_and_saturated_depth_is_unknown(miniature):
    made = dataset.sevenscenes(root=str(miniature("sevenscenes"))).build()
    sample = made.splits["val"].load(0)
    np.testing.assert_allclose(sample["depth"][0, ::8], [0, 0.8, 0, 3.565], rtol=1e-6)


def test_the_published_split(miniature):
    made = dataset.sevenscenes(root=str(miniature("sevenscenes"))).build()
    assert sizes(made) == {"train": 9, "val": 3}
    assert made.splits["val"].names[0] == "seq-02/frame-000000.color.png"


def test_several_scenes_and_no_lists(miniature, tmp_path):
    root = miniature("sevenscenes")
    (root / "TestSplit.txt").unlink()
    (tmp_path / "scenes").mkdir()
    root = root.rename(tmp_path / "scenes/chess")
    assert detect(str(root.parent)).name == "sevenscenes"
    made = dataset.sevenscenes(root=str(root.parent)).build()
    assert sizes(made) == {"train": 9, "val": 3}
    assert {name.partition("/frame")[0] for name in made.splits["val"].names} < {
        f"chess/seq-{n:02}" for n in range(1, 5)
    }


def test_folders_of_colour_and_depth(tmp_path):
    for split in ("train", "val"):
        photo(tmp_path / split / "rgb/000000.jpg")
        png(tmp_path / split / "depth/000000.png", steps([0, 1200]))
    made = dataset.sevenscenes(root=str(tmp_path)).build()
    assert sizes(made) == {"train": 1, "val": 1}
    assert made.splits["train"].load(0)["depth"].max() == np.float32(1.2)


def test_one_of_two_sets_that_are_laid_out_alike(tmp_path):
    """7-Scenes counts millimetres, KITTI 1/256 m: the shape of the images says which it is."""
    for name, shape in (("sevenscenes", (24, 32)), ("kitti_depth", (12, 40))):
        for i in range(2):
            photo(tmp_path / name / f"train/rgb/{i}.jpg", i, shape)
            png(tmp_path / name / f"train/depth/{i}.png", steps([0, 1200], shape))
    for name, other in (("sevenscenes", "kitti_depth"), ("kitti_depth", "sevenscenes")):
        assert dataset.part(name, {"root": str(tmp_path / name)}).build().splits["train"]
        with pytest.raises(
            ValueError,
            match=rf"expected .* as .*rgb/ \(images .* as wide as high\) .*; {tmp_path}/{other} holds none",
        ):
            dataset.part(name, {"root": str(tmp_path / other)}).build()


def test_a_frame_without_depth_and_a_missing_set_are_told(miniature, tmp_path):
    root = miniature("sevenscenes")
    (root / "seq-02/frame-000001.depth.png").unlink()
    with pytest.raises(
        ValueError,
        match=rf"^{root}/seq-02/frame-000001.color.png: no depth map belongs to it; expected {root}/seq-02/",
    ):
        dataset.sevenscenes(root=str(root)).build()
    with pytest.raises(
        ValueError,
        match=rf"expected 7-Scenes as train/rgb/ .*; looked for {tmp_path}/no, nothing is there. Download",
    ):
        dataset.sevenscenes(root=str(tmp_path / "no")).build()
