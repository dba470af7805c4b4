"""Named sums."""

from __future__ import annotations

import pytest
import torch

from xvision.tasks.metrics.sums import Sums


def test_millions_of_small_numbers_add_up() -> None:
    sums = Sums(["a"])
    sums.update({"a": torch.tensor(2.0**30)})
    for _ in range(4):
        sums.update({"a": torch.tensor(0.25)})
    assert sums.compute() == {"a": 2.0**30 + 1}


def test_processes_add_up() -> None:
    one, other = Sums(["a", "b"]), Sums(["a", "b"])
    one.update({"a": torch.tensor(1), "b": torch.tensor(2)})
    other.update({"b": torch.tensor(20), "a": torch.tensor(10)})
    one.merge_state(other)
    assert one.compute() == {"a": 11, "b": 22}


def test_other_names_are_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        Sums(["a"]).update({"b": torch.tensor(1)})
