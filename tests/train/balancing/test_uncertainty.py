"""Kendall's uncertainty weights, against autograd on the paper's formula."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from xvision.train.balancing import balancing


def test_the_scalar_and_its_descent_follow_the_paper() -> None:
    """Kendall et al., CVPR 2018, equation 10: L_reg / (2 s1^2) + L_class / s2^2 + log s1 + log s2."""
    balance = balancing.uncertainty(lr=0.1).build(("depth", "segmentation"))
    s = torch.zeros(2, dtype=torch.float64)  # log sigma^2
    draw = torch.Generator().manual_seed(1)
    for _ in range(20):
        losses = torch.rand(2, generator=draw, dtype=torch.float64)
        got = balance.combine({"depth": losses[0], "segmentation": losses[1]})
        s.requires_grad_()
        sigma = torch.exp(s / 2)
        paper = losses[0] / (2 * sigma[0] ** 2) + losses[1] / sigma[1] ** 2 + sigma.log().sum()
        assert got.item() == pytest.approx(paper.item(), rel=1e-12)
        (slope,) = torch.autograd.grad(paper, s)
        s = (s - 0.1 * slope).detach()
        balance.step()
        assert torch.allclose(balance.log_variance, s)


def test_rest_is_at_the_noise_of_each_task() -> None:
    """exp(-s) L = 1 for a regression of loss 0.2, 1/2 for a classification of loss 400: weights 1/(2 L)."""
    balance = balancing.uncertainty(lr=0.1).build(("depth", "segmentation"))
    for _ in range(500):
        balance.combine({"depth": torch.tensor(0.2), "segmentation": torch.tensor(400.0)})
        balance.step()
    assert balance.weights.tolist() == pytest.approx([1 / 0.4, 1 / 800], rel=1e-3)


def test_one_step_goes_no_further_than_the_rate() -> None:
    balance = balancing.uncertainty(lr=0.1).build(("segmentation",))
    balance.combine({"segmentation": torch.tensor(1e6)})
    balance.step()
    assert balance.log_variance.item() == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr": 0}, r"train\.balancing\.lr: expected a value > 0, got 0"),
        (
            {"regression": ("dept",)},
            r"train\.balancing\.regression: no task is called 'dept'; did you mean 'depth'\?",
        ),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        balancing.part("uncertainty", settings).build(("depth", "segmentation"))
    balancing.uncertainty().build(("motion",))  # the default names depth, whether there is one or not
