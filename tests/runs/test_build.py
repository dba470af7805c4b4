"""Networks and defaults of a recipe, made in one place."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import xvision as xv
from xvision.data.dataset import DataError
from xvision.runs.build import SettingError, complete

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
