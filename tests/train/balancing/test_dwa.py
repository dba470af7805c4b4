"""Dynamic weight average, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from xvision.train.balancing import balancing
from xvision.train.balancing.contract import Balancing


def epoch(balance: Balancing, *steps: tuple[float, float]) -> list[float]:
    for a, b in steps:
        balance.combine({"a": torch.tensor(a), "b": torch.tensor(b)})
        balance.step()
    balance.end_epoch()
    return balance.weights.tolist()


def test_equation_7_by_hand() -> None:
    """Liu et al., CVPR 2019: weights of epoch t from the mean losses of t - 1 and t - 2; 1 in the first two epochs."""
    balance = balancing.dwa().build(("a", "b"))
    assert epoch(balance, (3.0, 2.0), (5.0, 2.0)) == [1, 1]
    got = epoch(balance, (2.0, 1.5), (2.0, 2.5))  # ratios 2/4 and 2/2
    share = math.exp(0.25) / (math.exp(0.25) + math.exp(0.5))
    assert got == pytest.approx([2 * share, 2 - 2 * share])
    got = epoch(balance, (1.0, 3.0))  # ratios 1/2 and 3/2
    share = math.exp(0.25) / (math.exp(0.25) + math.exp(0.75))
    assert got == pytest.approx([2 * share, 2 - 2 * share])


def test_weights_stay_within_an_epoch() -> None:
    balance = balancing.dwa().build(("a", "b"))
    epoch(balance, (4.0, 1.0))
    epoch(balance, (1.0, 1.0))
    before = balance.weights.clone()
    balance.combine({"a": torch.tensor(100.0), "b": torch.tensor(1.0)})
    balance.step()
    assert torch.equal(balance.weights, before)


def test_a_high_temperature_makes_weights_equal() -> None:
    balance = balancing.dwa(temperature=1e6).build(("a", "b"))
    epoch(balance, (4.0, 1.0))
    assert epoch(balance, (1.0, 1.0)) == pytest.approx([1, 1], abs=1e-5)


def test_a_temperature_that_cannot_be() -> None:
    with pytest.raises(ValueError, match=r"train\.balancing\.temperature: expected a value > 0, got 0"):
        balancing.dwa(temperature=0).build(("a", "b"))
