"""GradNorm: by hand, against autograd on the paper's loss, and the paper's toy problem."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xvision.train.balancing import balancing

TASKS = ("a", "b")


def test_two_steps_by_hand() -> None:
    """L_a = 3 w and L_b = w, w = 2: gradient norms 3 and 1, mean 2. First step: rates are 1, so the target is 2 for
    both and w_a falls by lr * 3, w_b rises by lr * 1: 0.7 and 1.1, scaled by 2 / 1.8.
    """
    balance = balancing.gradnorm(alpha=1.0, lr=0.1).build(TASKS)
    w = torch.tensor([2.0], requires_grad=True)
    balance.combine({"a": (3 * w).sum(), "b": w.sum()}, [w])
    balance.step()
    assert balance.weights.tolist() == pytest.approx([0.7 * 2 / 1.8, 1.1 * 2 / 1.8])
    assert balance.initial.tolist() == pytest.approx([6, 2])


def paper_step(w: Tensor, norms: Tensor, progress: Tensor, alpha: float, lr: float) -> Tensor:
    """Chen et al., ICML 2018, equation 2 by autograd with the target detached, then the scaling of algorithm 1."""
    w = w.clone().requires_grad_()
    size = w * norms
    target = (size.mean() * (progress / progress.mean()) ** alpha).detach()
    (slope,) = torch.autograd.grad((size - target).abs().sum(), w)
    new = w.detach() - lr * slope
    return len(w) * new / new.sum()


def test_many_steps_follow_the_paper() -> None:
    balance = balancing.gradnorm(alpha=1.5, lr=0.01).build(("a", "b", "c"))
    draw = torch.Generator().manual_seed(0)
    w, first = torch.ones(3, dtype=torch.float64), None
    for _ in range(15):
        slopes = 0.5 + torch.rand(3, 2, generator=draw)
        shared = torch.rand(2, generator=draw, requires_grad=True)
        losses = {name: row @ shared for name, row in zip("abc", slopes, strict=True)}
        total = balance.combine(losses, [shared])
        values = torch.stack(list(losses.values())).detach().double()
        assert total.item() == pytest.approx((w * values).sum().item(), rel=1e-6)
        balance.step()
        first = values if first is None else first
        w = paper_step(w, slopes.double().norm(dim=1), values / first, 1.5, 0.01)
        assert torch.allclose(balance.weights, w, rtol=1e-6)


def test_the_toy_problem_of_the_paper() -> None:
    """Chen et al., section 4: tasks that differ in scale alone; the larger one gets the smaller weight, and the
    gradients w_i G_i become about equal.
    """
    torch.manual_seed(0)
    scales = {"small": 1.0, "large": 10.0}
    shared = nn.Linear(10, 20)
    heads = {name: nn.Linear(20, 5) for name in scales}
    truth = {name: torch.randn(10, 5) for name in scales}
    parameters = [*shared.parameters(), *(p for h in heads.values() for p in h.parameters())]
    balance = balancing.gradnorm(alpha=0.12, lr=0.002).build(tuple(scales))
    optimizer = torch.optim.Adam(parameters, lr=1e-3)
    for _ in range(300):
        x = torch.randn(64, 10)
        losses = {
            name: (scale * (heads[name](shared(x).relu()) - (x @ truth[name]).tanh())).square().mean()
            for name, scale in scales.items()
        }
        balance.combine(losses, list(shared.parameters())).backward()
        optimizer.step()
        optimizer.zero_grad()
        balance.step()
    small, large = balance.weights.tolist()
    assert small > 5 * large


def test_weights_do_not_cross_zero() -> None:
    balance = balancing.gradnorm(lr=10.0).build(TASKS)
    w = torch.tensor([2.0], requires_grad=True)
    balance.combine({"a": (3 * w).sum(), "b": w.sum()}, [w])
    balance.step()
    assert (balance.weights > 0).all()
    assert balance.weights.sum().item() == pytest.approx(2)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"alpha": -1, "lr": 0},
            r"train\.balancing\.alpha: expected a value >= 0, got -1\.0; "
            r"train\.balancing\.lr: expected a value > 0, got 0",
        ),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        balancing.part("gradnorm", settings).build(TASKS)
