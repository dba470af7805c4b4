from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from xvision.train.errors import TrainingError
from xvision.train.log import Log

TRAIN = {"step": 2, "epoch": 0.4, "lr": 0.1, "loss": 1.5, "terms": {"cross_entropy": 1.5}, "img_per_s": 9.0}
VAL = {"step": 5, "epoch": 1.0, "val": {"top1": 50.0}, "seconds": 0.1}


def test_rewinding_keeps_what_the_checkpoint_knows(tmp_path: Path) -> None:
    log = Log(tmp_path / "metrics.jsonl", tensorboard=None, enabled=True)
    for line in (TRAIN, {**TRAIN, "step": 5}, VAL, {**TRAIN, "step": 6}):
        log.write(line)
    with log.path.open("a") as file:
        file.write('{"step": 7, "ep')

    def steps() -> list[int]:
        return [json.loads(line)["step"] for line in log.path.read_text().splitlines()]

    log.rewind(step=5, validated_step=5)
    assert steps() == [2, 5, 5]
    log.rewind(step=5, validated_step=-1)  # stopped before the validation: it is done again
    assert steps() == [2, 5]
    log.rewind(-1, -1)
    assert steps() == []


def test_other_processes_write_nothing(tmp_path: Path) -> None:
    log = Log(tmp_path / "metrics.jsonl", tensorboard=tmp_path / "tensorboard", enabled=False)
    log.write(TRAIN)
    log.rewind(0, 0)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the package tensorboard
def test_tensorboard_gets_the_same_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with Log(tmp_path / "metrics.jsonl", tensorboard=tmp_path / "tensorboard", enabled=True) as log:
        log.write(TRAIN)
        log.write(VAL)
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    tags = {"train/epoch", "train/lr", "train/loss", "train/cross_entropy", "train/img_per_s"}
    assert set(events.Tags()["scalars"]) == tags | {"val/epoch", "val/top1", "val/seconds"}
    assert [(e.step, e.value) for e in events.Scalars("val/top1")] == [(5, 50.0)]


def test_a_missing_tensorboard_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(
        TrainingError, match=r"pip install 'edgeai-xvision\[tensorboard\]', or set it to false"
    ):
        Log(tmp_path / "metrics.jsonl", tensorboard=tmp_path / "tensorboard", enabled=True)
