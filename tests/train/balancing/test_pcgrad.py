"""Gradient surgery: by hand and against algorithm 1 on whole vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xvision.train.balancing import balancing
from xvision.train.balancing.pcgrad import surgery


def test_two_tasks_by_hand() -> None:
    """g1 = (1, 0), g2 = (-1, 1): projected (1/2, 1/2) and (0, 1), together (1/2, 3/2). A head keeps its gradient."""
    balance = balancing.pcgrad().build(("a", "b"))
    w = torch.zeros(2, requires_grad=True)
    head = torch.tensor(2.0, requires_grad=True)
    total = balance.combine({"a": w[0] + 5, "b": -w[0] + w[1] + 3 * head}, [w])
    assert total.item() == 11
    total.backward()
    assert w.grad is not None
    assert head.grad is not None
    assert w.grad.tolist() == pytest.approx([0.5, 1.5])
    assert head.grad == 3


def test_tasks_that_agree_are_left_alone() -> None:
    balance = balancing.pcgrad().build(("a", "b"))
    w = torch.zeros(2, requires_grad=True)
    balance.combine({"a": w[0], "b": w[0] + w[1]}, [w]).backward()
    assert w.grad is not None
    assert w.grad.tolist() == [2, 1]


@pytest.mark.parametrize("seed", range(5))
def test_the_factors_are_algorithm_1(seed: int) -> None:
    """Yu et al., NeurIPS 2020, algorithm 1 on the vectors themselves, with the same orders."""
    gradients = np.random.default_rng(seed).standard_normal((4, 6))
    torch.manual_seed(seed)
    orders = [torch.randperm(4).tolist() for _ in range(4)]
    total = np.zeros(6)
    for i, order in enumerate(orders):
        g = gradients[i].copy()
        for j in order:
            if j != i and g @ gradients[j] < 0:
                g -= g @ gradients[j] / (gradients[j] @ gradients[j]) * gradients[j]
        total += g
    torch.manual_seed(seed)
    rows = torch.from_numpy(gradients)
    got = surgery(rows @ rows.T) @ rows
    assert got.numpy() == pytest.approx(total, rel=1e-9)


def test_several_parameters_and_an_unused_one() -> None:
    balance = balancing.pcgrad().build(("a", "b", "c"))
    u, v, unused = (torch.zeros(n, requires_grad=True) for n in (2, (2, 2), 3))
    losses = {"a": u[0] + v[0, 0], "b": -u[0] + v[1, 1]}  # c has no labels in this batch
    balance.combine(losses, [u, v, unused]).backward()
    assert u.grad is not None
    assert v.grad is not None
    assert unused.grad is not None
    assert u.grad.tolist() == pytest.approx([0, 0])
    assert v.grad.flatten().tolist() == pytest.approx([1.5, 0, 0, 1.5])
    assert unused.grad.tolist() == [0, 0, 0]


def test_surgery_scales_with_the_loss_as_mixed_precision_needs() -> None:
    balance = balancing.pcgrad().build(("a", "b"))
    w = torch.zeros(2, requires_grad=True)
    (1024 * balance.combine({"a": w[0], "b": -w[0] + w[1]}, [w])).backward()
    assert w.grad is not None
    assert w.grad.tolist() == pytest.approx([512, 1536])
