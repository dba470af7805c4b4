"""Chosen weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from xvision.train.balancing import balancing

TASKS = ("segmentation", "depth")


def test_weights_by_name() -> None:
    balance = balancing.fixed(weights=("depth:0.25",)).build(TASKS)
    total = balance.combine({"segmentation": torch.tensor(3.0), "depth": torch.tensor(8.0)})
    assert total == 3 + 2
    assert balancing.fixed().build(TASKS).weights.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (("dept:1",), r"train\.balancing\.weights: no task is called 'dept'; did you mean 'depth'\?"),
        (("depth",), r"'depth': expected task:weight with a weight >= 0, for example depth:0\.5"),
        (("depth:-1",), r"'depth:-1': expected task:weight"),
        (("depth:nan",), r"'depth:nan': expected task:weight"),
        (("depth:1", "depth:2"), r"train\.balancing\.weights: 'depth' is named twice"),
        (("x:1", "depth:y"), r"no task is called 'x'.*; train\.balancing\.weights: 'depth:y': expected"),
    ],
)
def test_weights_that_cannot_be(weights: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        balancing.fixed(weights=weights).build(TASKS)
