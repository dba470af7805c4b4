"""Averages over known pixels."""

from __future__ import annotations

import torch

from xvision.tasks.losses.masked import masked_mean, precise


def test_unknown_values_do_not_count_and_do_not_pull() -> None:
    values = torch.tensor([1.0, 5.0, 3.0], requires_grad=True)
    mean = masked_mean(values, torch.tensor([True, False, True]))
    mean.backward()
    assert mean.item() == 2
    assert values.grad is not None
    assert values.grad.tolist() == [0.5, 0, 0.5]


def test_half_precision_is_raised_and_double_kept() -> None:
    assert precise(torch.zeros(2, dtype=torch.float16)).dtype == torch.float32
    assert precise(torch.zeros(2, dtype=torch.float64)).dtype == torch.float64
