from __future__ import annotations

import pytest
import torch
from tiny import TinyNet

from xvision.train.ema import Ema


def test_the_decay_grows_up_to_its_setting() -> None:
    model = TinyNet()
    ema = Ema(model, 0.5)
    start = model.head.bias.detach().clone()
    with torch.no_grad():
        model.head.bias += 1
    ema.update(model, step=1)  # decay (1 + 1) / (10 + 1)
    assert torch.allclose(ema.module.head.bias, start + 9 / 11)
    before = ema.module.head.bias.clone()
    ema.update(model, step=1000)  # decay 0.5
    assert torch.allclose(ema.module.head.bias, (before + start + 1) / 2)


def test_statistics_are_averaged_and_counters_copied() -> None:
    model = TinyNet()
    ema = Ema(model, 0.9)
    model(torch.randint(0, 255, (4, 3, 8, 8), dtype=torch.uint8))
    ema.update(model, step=1)
    ours, theirs = ema.module.state_dict(), model.state_dict()
    assert torch.allclose(ours["norm.running_mean"], theirs["norm.running_mean"] * 9 / 11)
    assert ours["norm.num_batches_tracked"] == 1


def test_the_copy_neither_learns_nor_drops() -> None:
    ema = Ema(TinyNet(), 0.9)
    assert not ema.module.training
    assert not any(p.requires_grad for p in ema.module.parameters())
    assert pytest.approx(0.9) == ema.decay
