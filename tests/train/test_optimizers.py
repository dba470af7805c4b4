from __future__ import annotations

import pytest
import torch

from xvision.train.optimizers import optimizer


@pytest.mark.parametrize("name", sorted(optimizer.builders()))
def test_every_optimizer_walks_downhill(name: str) -> None:
    weight = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    steps = optimizer.part(name, {"lr": 0.01}).build([{"params": [weight]}])
    for _ in range(100):
        steps.zero_grad()
        weight.square().sum().backward()
        steps.step()
    assert weight.square().sum() < 13 * 0.9


@pytest.mark.parametrize("name", sorted(optimizer.builders()))
def test_every_optimizer_takes_lr_first_and_decays_weights(name: str) -> None:
    settings = optimizer.builder(name).settings
    assert next(iter(settings)) == "lr"
    assert "weight_decay" in settings


def test_nesterov_needs_momentum() -> None:
    with pytest.raises(ValueError, match=r"train\.optimizer\.nesterov: needs momentum > 0, got momentum 0"):
        optimizer.sgd(momentum=0).build([{"params": [torch.nn.Parameter(torch.ones(1))]}])
