"""Progressive resizing and frozen statistics: what the steps of a training see."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import xvision as xv
from tests.train.tiny import places, tiny_loader, tiny_task
from xvision.console import Console
from xvision.data.loader import Loader
from xvision.models.backbones import backbone
from xvision.models.build import build_model
from xvision.models.decoders import decoder
from xvision.models.model import Model
from xvision.models.settings import Net
from xvision.runs.build import SettingError
from xvision.runs.checks import check_settings
from xvision.runs.run import Run
from xvision.train.loop import train
from xvision.train.settings import Train
from xvision.train.sizes import size_at

SIZE = (32, 48)


class Seen:
    """A loader that keeps the shapes of the images that it gave."""

    def __init__(self, loader: Loader) -> None:
        self.loader, self.num_samples = loader, loader.num_samples
        self.shapes: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, start_batch: int = 0, sizes: Any = None) -> Any:
        for batch in self.loader.epoch(epoch, start_batch, sizes):
            self.shapes.append(tuple(batch["image"].shape[-2:]))
            yield batch


def small_net() -> Model:
    torch.manual_seed(0)
    settings = Net(backbone=backbone.timm(model="resnet18", width=0.25), decoder=decoder.classifier())
    return build_model(settings, tiny_task().outputs_by_task, SIZE)


def fit(folder: Path, model: nn.Module, seen: Any, **settings: Any) -> None:
    train(
        model,
        tiny_task(),
        seen,
        tiny_loader(8, train=False, size=SIZE),
        Train(**{"threads": 1, "optimizer": "sgd:0.01", **settings}),
        places(folder),
        seed=0,
        console=Console(quiet=True),
    )


def test_sizes_grow_to_the_whole_and_the_last_quarter_is_whole() -> None:
    sizes = [size_at(i / 100, (192, 256), 0.5, 32) for i in range(101)]
    assert sizes[0] == (96, 128)
    assert all(h1 <= h2 and w1 <= w2 for (h1, w1), (h2, w2) in pairwise(sizes))
    assert all(h % 32 == 0 and w % 32 == 0 for h, w in sizes)
    assert set(sizes[75:]) == {(192, 256)}
    assert {size_at(i / 10, (100, 60), 1.0) for i in range(11)} == {(100, 60)}, "whole sizes are not rounded"
    assert size_at(0, (32, 32), 0.1, 32) == (32, 32), "no side falls below the divisor"


@pytest.mark.parametrize("workers", [0, 1])
def test_batches_have_the_size_of_their_step(tmp_path: Path, workers: int) -> None:
    seen = Seen(tiny_loader(32, size=SIZE, workers=workers))
    fit(tmp_path, small_net(), seen, epochs=2, start_size_ratio=0.5)
    assert seen.shapes == [(16, 24), (16, 32), (24, 32), (24, 32), (24, 40), (32, 48), (32, 48), (32, 48)]


def test_batches_of_one_step_have_one_size_and_the_last_are_whole(tmp_path: Path) -> None:
    seen = Seen(tiny_loader(64, size=SIZE))
    fit(tmp_path, small_net(), seen, epochs=1, start_size_ratio=0.5, accumulate=2)
    assert seen.shapes[::2] == seen.shapes[1::2]
    assert seen.shapes[0] == (16, 24)
    assert seen.shapes[-2:] == [SIZE, SIZE]


def test_frozen_batch_norm_keeps_its_statistics_and_learns_its_factors(tmp_path: Path) -> None:
    model = small_net()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fit(tmp_path, model, tiny_loader(16, size=SIZE), epochs=1, freeze_batch_norm=True)
    norms = {
        n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm2d) and n.startswith("backbone")
    }
    assert norms
    for name in norms:
        assert torch.equal(model.state_dict()[f"{name}.running_mean"], before[f"{name}.running_mean"])
        assert torch.equal(model.state_dict()[f"{name}.running_var"], before[f"{name}.running_var"])
    assert any(not torch.equal(model.state_dict()[f"{n}.weight"], before[f"{n}.weight"]) for n in norms)


def test_frozen_statistics_need_weights_to_be_of(tmp_path: Path) -> None:
    recipe = xv.recipe("classification", "train.freeze_batch_norm=true")
    with pytest.raises(
        SettingError, match=r"train.freeze_batch_norm: expected weights .*, got net.weights=none"
    ):
        check_settings(Run(tmp_path, recipe))


def test_a_size_that_cannot_be_smaller_is_refused(tmp_path: Path) -> None:
    recipe = xv.recipe("segmentation", "data.size=64x64", "train.start_size_ratio=0.9")
    with pytest.raises(
        SettingError, match=r"train.start_size_ratio: expected a size with room below it, got data"
    ):
        check_settings(Run(tmp_path, recipe))
    check_settings(Run(tmp_path, xv.recipe("segmentation", "data.size=64x64", "train.start_size_ratio=0.5")))
