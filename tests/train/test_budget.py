"""A budget of time: its number of steps, and that a resumed training keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.train.test_loop import interrupting, same_weights, tiny_train
from tests.train.tiny import TinyNet, places, tiny_loader, tiny_task
from xvision.console import Console
from xvision.train.budget import steps_within
from xvision.train.errors import Interrupted
from xvision.train.processes import Processes
from xvision.train.settings import Train
from xvision.train.training import Training

MINUTES = 0.05


def a_copy(folder: Path, **settings: Any) -> Training:
    return Training(
        TinyNet(), tiny_task(), tiny_loader(), tiny_loader(13, train=False), Train(threads=1, **settings),
        places(folder), 0, Console(quiet=True), "", Processes(),
    )  # fmt: skip


def test_more_minutes_are_more_steps(tmp_path: Path) -> None:
    few, many = (steps_within(minutes, a_copy(tmp_path)) for minutes in (0.1, 1.0))
    assert 10 < 2 * few < many
    assert steps_within(1e-9, a_copy(tmp_path)) == 1
    assert not any(tmp_path.rglob("*.safetensors")), "what is timed is thrown away"


@pytest.mark.parametrize("workers", [0, 1])
def test_the_timed_steps_leave_no_trace(tmp_path: Path, workers: int) -> None:
    """With workers too, which have prepared batches that are not asked for any more."""
    budget = tiny_train(tmp_path / "a", minutes=MINUTES, train_loader=tiny_loader(workers=workers))
    again = tiny_train(tmp_path / "b", epochs=10**6, max_steps=budget.steps)
    assert same_weights(budget.last_path, again.last_path)


def test_the_most_steps_count_within_the_minutes_too(tmp_path: Path) -> None:
    assert tiny_train(tmp_path, minutes=10, max_steps=3).steps == 3


def test_a_resumed_training_keeps_the_number_of_steps(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        tiny_train(tmp_path, minutes=MINUTES, train_loader=interrupting(tiny_loader(), 25))
    before = a_copy(tmp_path, minutes=MINUTES).checkpoints.read_manifest()
    assert before is not None
    resumed = tiny_train(tmp_path, minutes=MINUTES)
    assert resumed.steps == before.num_steps
    assert json.loads(resumed.best_path.with_suffix(".json").read_text())["num_steps"] == before.num_steps
