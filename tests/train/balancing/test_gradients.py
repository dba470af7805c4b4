"""Gradients of tasks and their agreement."""

from __future__ import annotations

import math

import torch

from xvision.train.balancing.gradients import mean_over_processes, task_affinity, task_gradients


def test_gradients_of_tasks_by_hand() -> None:
    """u = 3, v = (1, 2): of u v1 + u v2 and of v2^2; what a loss does not use has gradient 0."""
    u, v = torch.tensor(3.0, requires_grad=True), torch.tensor([1.0, 2.0], requires_grad=True)
    rows = task_gradients([u * v.sum(), v[1] ** 2], [u, v])
    assert rows.tolist() == [[3, 3, 3], [0, 0, 4]]
    assert not rows.requires_grad


def test_the_graph_lives_on_and_nothing_is_left_behind() -> None:
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    loss = (w**3).sum()
    task_gradients([loss], [w])
    assert w.grad is None
    loss.backward()
    assert w.grad is not None
    assert w.grad.tolist() == [3, 12]


def test_affinity_by_hand() -> None:
    """Gradients (1, 0), (1, 1), (-3, 0) and none."""
    w = torch.zeros(2, requires_grad=True)
    table = task_affinity({"a": w[0], "b": w.sum(), "c": -3 * w[0], "d": 0 * w[1]}, [w])
    half = math.sqrt(0.5)
    expected = torch.tensor([[1, half, -1], [half, 1, -half], [-1, -half, 1]])
    assert torch.allclose(table[:3, :3], expected)
    assert table[3].isnan().all()
    assert table[:, 3].isnan().all()


def test_one_process_averages_nothing() -> None:
    values = torch.tensor([1.0, 2.0])
    assert mean_over_processes(values) is values
