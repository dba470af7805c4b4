"""Networks and defaults of a recipe, made in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

import xvision as xv
from xvision.data.dataset import DataError, Sample, Split
from xvision.runs import build
from xvision.runs.build import SettingError, calibrated_on, calibration_inputs, complete, judging_loader
from xvision.tasks.classification import Classification

TINY = ("net.backbone=timm:resnet10t", "data.size=32x32")


def test_a_network_needs_no_data_on_disk_where_the_recipe_counts_the_classes(tmp_path: Path) -> None:
    nowhere = ("data=image_folder", f"data.root={tmp_path / 'nowhere'}", *TINY)
    model = xv.build(xv.recipe("classification", *nowhere, "task.num_classes=7")).eval()
    assert model(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))["class"].shape == (1, 7)
    with pytest.raises(DataError, match="nowhere"):
        xv.build(xv.recipe("classification", *nowhere))


def test_the_seed_decides_the_weights() -> None:
    def first(seed: int) -> torch.Tensor:
        recipe = xv.recipe("classification", *TINY, "task.num_classes=2", f"seed={seed}")
        return next(xv.build(recipe).parameters())

    assert torch.equal(first(1), first(1))
    assert not torch.equal(first(1), first(2))


def test_what_a_network_cannot_do_is_a_usage_error() -> None:
    with pytest.raises(SettingError, match="resnet181") as caught:
        xv.build(xv.recipe("classification", "net.backbone=timm:resnet181", "task.num_classes=2"))
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "framing"),
    [("classification", "crop"), ("depth", "stretch"), ("classification+motion", "stretch")],
)
def test_the_framing_follows_from_the_tasks_where_nobody_chooses_it(name: str, framing: str) -> None:
    assert xv.recipe(name).data.framing is None
    assert complete(xv.recipe(name)).data.framing == framing
    assert complete(xv.recipe(name, "data.framing=letterbox")).data.framing == "letterbox"


def split_of(num: int, repeated: int = 1) -> Split:
    """Images whose pixels are their number."""
    names = tuple(f"image {i}" for i in range(num)) * repeated
    return Split(names, _Repeated(num).load, str, fields=("image", "class"))


@dataclass(frozen=True)
class _Repeated:
    num: int

    def load(self, i: int) -> Sample:
        i %= self.num
        return {"image": np.full((8, 8, 3), i % 256, np.uint8), "class": np.asarray(i % 2)}


SMALL = ("data=scenes", "data.size=8x8", "train.batch_size=16")


@pytest.mark.parametrize("repeated", [1, 2])
def test_images_to_judge_by_are_none_of_calibration_and_each_once(repeated: int) -> None:
    recipe, task, split = (
        xv.recipe("classification", *SMALL),
        Classification(("a", "b"), 0.0),
        split_of(60, repeated),
    )
    first = next(calibration_inputs(recipe, task, split))[0][:, 0, 0, 0].tolist()
    taken = calibrated_on(recipe, split, "of the split", 16)
    assert [f"image {i}" for i in first] == list(taken.names)
    assert taken.digest != calibrated_on(recipe, split, "of another one", 16).digest
    loader = judging_loader(recipe, task, split, num_calibration=16, num_val=7)
    batches = list(loader.epoch(0))
    names = [name for batch in batches for name in batch["name"]]
    pixels = [int(x[0, 0, 0]) for batch in batches for x in batch["image"]]
    assert [f"image {i}" for i in pixels] == names
    assert len(names) == len(set(names)) == loader.num_samples
    assert not set(names) & set(taken.names)
    assert set(names) | set(taken.names) == set(split.names)  # fewer than 500 are left: all of them
    assert len(batches) >= 20, "enough batches to tell an error from"


@pytest.mark.parametrize(("num_val", "number"), [(10, 500), (700, 700), (5000, 2000)])
def test_as_many_images_judge_as_there_are_for_validation(num_val: int, number: int) -> None:
    recipe, task = xv.recipe("classification", *SMALL), Classification(("a", "b"), 0.0)
    loader = judging_loader(recipe, task, split_of(3000), num_calibration=256, num_val=num_val)
    assert loader.num_samples == number
    assert len(loader) == -(-number // min(16, -(-number // build.JUDGED_BATCHES)))


def test_calibration_that_takes_all_images_leaves_none_to_judge_by() -> None:
    with pytest.raises(
        ValueError, match=r"^quant\.num_images: expected labelled training images beside the 20 for"
    ):
        judging_loader(
            xv.recipe("classification", *SMALL), Classification(("a", "b"), 0.0), split_of(20),
            num_calibration=20, num_val=7,
        )  # fmt: skip
