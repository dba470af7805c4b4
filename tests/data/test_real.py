"""Real sets, where XVISION_DATA points to them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from xvision.data.dataset import Dataset
from xvision.data.datasets import dataset
from xvision.data.flow import with_flow
from xvision.data.framing import Framing
from xvision.data.loader import Loader
from xvision.data.settings import Augment, Data

HOME = Path(os.environ.get("XVISION_DATA", "nowhere"))


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not (HOME / name).exists(), reason=f"no {name} in $XVISION_DATA")


@needs("cifar10")
def test_cifar10_is_complete_and_recognised():
    made = dataset.auto(root="cifar10").build()
    assert made.name == "cifar10"
    assert made.classes["class"][:3] == ("airplane", "automobile", "bird")
    assert len(made.splits["train"]) == 50000
    data = Data(dataset=dataset.cifar10(), size=(32, 32), augment=Augment(shift=0.125), cache=False)
    batch = next(
        Loader(
            made.splits["train"],
            ("image", "class"),
            data,
            batch_size=256,
            train=True,
            seed=0,
            framing=Framing("crop"),
        ).epoch(0)
    )
    assert batch["class"].bincount().shape == (10,)
    assert 90 < batch["image"].float().mean() < 150
    assert all(
        name.partition("/")[0] == made.classes["class"][label]
        for name, label in zip(batch["name"], batch["class"].tolist(), strict=True)
    )


@needs("flowers5")
def test_flowers5_loads_alike_with_workers():
    made = dataset.auto(root="flowers5").build()
    assert made.classes["class"] == ("daisy", "dandelion", "rose", "sunflower", "tulip")
    assert {name: len(split) for name, split in made.splits.items()} == {"train": 3015, "val": 648}
    data = Data(
        dataset=dataset.auto(root="flowers5"), size=(48, 48), augment=Augment(zoom=(0.8, 1.5), contrast=0.3)
    )
    epochs = [
        list(
            Loader(
                made.splits["val"],
                ("image", "class"),
                data,
                batch_size=64,
                train=True,
                seed=0,
                framing=Framing("crop"),
                workers=w,
            ).epoch(0)
        )
        for w in (0, 1)
    ]
    assert len(epochs[0]) == 10
    assert all(torch.equal(one["image"], two["image"]) for one, two in zip(*epochs, strict=True))


@needs("imagenet_samples")
def test_imagenet_samples_have_the_ids_of_imagenet():
    index = str(HOME / "imagenet_samples/class_index.json")
    made = dataset.image_folder(root="imagenet_samples", classes=index).build()
    assert len(made.classes["class"]) == 1000
    assert list(made.splits) == ["val"]
    lines = dict(line.split() for line in (HOME / "imagenet_samples/val.txt").read_text().splitlines())
    val = made.splits["val"]
    for i in range(0, len(val), 50):
        assert int(val.load(i)["class"]) == int(
            lines[val.names[i]] if val.names[i] in lines else lines[val.names[i][4:]]
        )


def sizes(made: Dataset) -> dict[str, int]:
    return {name: len(split) for name, split in made.splits.items()}


def counts(made: Dataset, field: str, every: int) -> np.ndarray:
    """How often each id occurs in some samples of validation."""
    val = made.splits["val"]
    return sum(np.bincount(val.load(i)[field].reshape(-1), minlength=256) for i in range(0, len(val), every))


@needs("camvid")
def test_camvid_is_complete_and_mostly_road_and_buildings():
    made = dataset.auto(root="camvid").build()
    assert made.name == "camvid"
    assert sizes(made) == {"train": 367, "val": 101}
    found = counts(made, "segmentation", 10)
    assert {made.classes["segmentation"][i] for i in np.argsort(-found[:11])[:4]} >= {"road", "building"}
    assert 0 < found[255] < 0.1 * found.sum()


@needs("camvid")
def test_camvid_without_its_sky_and_without_labels_at_the_bottom():
    val = dataset.camvid(root="camvid").build().splits["val"]
    val = val.take(range(0, len(val), 20))
    height, width = val.load(0)["image"].shape[:2]
    crop, mask = (height // 4, 0, height, width), (height - 20, 0, height, width)
    data = Data(dataset=dataset.camvid(), size=(96, 128), crop_rect=crop, mask_rect=mask)
    fields, own = ("image", "segmentation"), ("segmentation",)
    loader = Loader(
        val, fields, data, batch_size=8, train=False, seed=0, framing=Framing("stretch"), native_size=own
    )
    batch = next(loader.epoch(0))
    assert batch["segmentation"].shape[1:] == (height - height // 4, width)
    assert (batch["segmentation"][:, -20:] == 255).all()
    for i, label in enumerate(batch["segmentation"]):
        stored = val.load(i)["segmentation"][height // 4 : -20]
        assert np.array_equal(label[:-20], stored)


@needs("nyuv2")
@pytest.mark.parametrize("num_classes", [13, 40])
def test_nyuv2_is_indoors(num_classes):
    made = dataset.nyuv2(root="nyuv2", num_classes=num_classes).build()
    assert sizes(made) == {"train": 795, "val": 240}
    found = counts(made, "segmentation", 40)
    assert made.classes["segmentation"][int(found[:-1].argmax())] == "wall"
    depth = made.splits["val"].load(7)["depth"]
    assert 0.5 < depth[depth > 0].min() < depth.max() < 10


@needs("cdnet_highway")
def test_cdnet_highway_moves_a_little():
    made = dataset.cdnet(root="cdnet_highway").build()
    assert sizes(made) == {"train": 399, "val": 149}
    found = counts(made, "motion", 30)
    assert 0.01 < found[1] / (found[0] + found[1]) < 0.3
    assert dataset.auto(root="cdnet_highway").build().name == "frame_pair_folder"


@needs("davis16")
def test_davis16_gives_consecutive_frames():
    made = dataset.auto(root="davis16").build()
    assert made.name == "davis16"
    assert sizes(made) == {"train": 706, "val": 147}
    found = counts(made, "motion", 30)
    assert 0.01 < found[1] / found.sum() < 0.5
    flow = with_flow(made.splits["val"].take([3])).load(0)
    assert 0.2 < flow["confidence"].mean() < 1


@needs("sevenscenes")
def test_sevenscenes_has_holes():
    made = dataset.sevenscenes(root="sevenscenes").build()
    assert list(made.splits) == ["train", "val"]
    depth = made.splits["val"].load(0)["depth"]
    assert 0 < (depth == 0).mean() < 0.5
    assert 0.3 < depth[depth > 0].min() < depth.max() < 10


@needs("kitti_tiny")
def test_kitti_is_sparse():
    made = dataset.kitti_depth(root="kitti_tiny").build()
    assert sizes(made) == {"train": 2, "val": 1}
    depth = made.splits["val"].load(0)["depth"]
    assert (depth > 0).mean() < 0.2
    assert 2 < depth[depth > 0].min() < depth.max() < 90
    with pytest.warns(UserWarning, match=r"depths lie between .* m, half of them below"):
        dataset.image_depth_folder(root="kitti_tiny/sample", unit=1).build()
