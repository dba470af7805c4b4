"""NYUv2: classes and depth."""

from __future__ import annotations

import numpy as np
import pytest

from xvision.data.datasets import dataset


@pytest.mark.parametrize(
    ("num_classes", "last", "labels"), [(13, "window", [0, 4, 12, 255]), (40, "otherprop", [0, 4, 38, 255])]
)
def test_classes_and_metres(miniature, num_classes, last, labels):
    made = dataset.nyuv2(root=str(miniature("nyuv2")), num_classes=num_classes).build()
    assert len(made.classes["segmentation"]) == num_classes
    assert made.classes["segmentation"][-1] == last
    assert {name: len(split) for name, split in made.splits.items()} == {"train": 2, "val": 1}
    sample = made.splits["val"].load(0)
    assert np.unique(sample["segmentation"]).tolist() == labels
    np.testing.assert_allclose(np.unique(sample["depth"]), [0, 0.713, 2.5, 9.995], rtol=1e-6)


def test_the_kinds_of_labels_are_different_data(miniature):
    root = str(miniature("nyuv2"))
    digests = {dataset.nyuv2(root=root, num_classes=n).build().splits["val"].digest() for n in (13, 40)}
    assert len(digests) == 2


def test_another_number_of_classes_is_refused():
    with pytest.raises(ValueError, match=r"^data.num_classes: expected 13 or 40, got 894$"):
        dataset.nyuv2(num_classes=894).build()


def test_what_is_missing_is_told(miniature, tmp_path):
    with pytest.raises(
        ValueError,
        match=rf"expected NYUv2 as train/rgb/, train/seg13/ and train/depth/; {tmp_path} holds none of them. Lay the",
    ):
        dataset.nyuv2(root=str(tmp_path)).build()
    root = miniature("nyuv2")
    (root / "train/seg13/0003.png").unlink()
    (root / "train/depth/0003.png").unlink()
    (root / "val/rgb/0009.jpg").unlink()
    with pytest.raises(ValueError, match=rf"^{root}: 3 problems:\n") as raised:
        dataset.nyuv2(root=str(root)).build()
    text = str(raised.value)
    assert "train/rgb/0003.jpg: no label belongs to it" in text
    assert "train/rgb/0003.jpg: no depth map belongs to it" in text
    assert f"val/seg13/0009.png: no image belongs to it; expected {root}/val/rgb/0009.jpg or .jpeg" in text
