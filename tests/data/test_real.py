"""Real sets, where XVISION_DATA points to them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from xvision.data.datasets import dataset
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
        Loader(made.splits["train"], ("image", "class"), data, batch_size=256, train=True, seed=0).epoch(0)
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
                made.splits["val"], ("image", "class"), data, batch_size=64, train=True, seed=0, workers=w
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
