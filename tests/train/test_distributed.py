from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tiny import TinyNet, places, tiny_loader, tiny_task

from xvision.console import Console
from xvision.train.loop import evaluate, train
from xvision.train.processes import init
from xvision.train.settings import Train

SCRIPT = Path(__file__).with_name("two_processes.py")


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that two processes trained in; what each said lies beside it."""
    folder = tmp_path_factory.mktemp("two") / "run"
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--master-addr=localhost"]
    launch += ["--master-port=0", "--rdzv-backend=c10d", "--rdzv-endpoint=localhost:0"]
    done = subprocess.run([*launch, str(SCRIPT), str(folder)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("epoch 4/4") == 1, "one process speaks"
    return folder


def said(folder: Path, rank: int) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(Path(f"{folder}.rank{rank}.json").read_text())
    return plain


def losses(folder: Path) -> list[float]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


def test_two_processes_learn_what_one_learns_from_double_batches(two: Path, tmp_path: Path) -> None:
    settings = Train(epochs=4, batch_size=8, optimizer="sgd:0.05", threads=1, log_every=1)
    train(
        TinyNet(norm=False, dropout=0),
        tiny_task(),
        tiny_loader(),
        tiny_loader(13, train=False),
        settings,
        places(tmp_path),
        seed=0,
        console=Console(quiet=True),
    )
    assert len(losses(two)) == 20
    assert losses(two) == pytest.approx(losses(tmp_path), abs=1e-5)


def test_every_sample_counts_once(two: Path) -> None:
    alone = evaluate(TinyNet(), tiny_task(), tiny_loader(13, train=False))
    for rank in range(2):
        assert said(two, rank)["counted"] == 13
        assert said(two, rank)["metrics"] == pytest.approx(alone.metrics)


def test_the_first_process_measures_alone_within_the_group(two: Path) -> None:
    assert said(two, 0)["counted_alone"] == 13


def test_all_validate_with_the_averages_of_the_first(two: Path) -> None:
    first, second = (said(two, rank)["averages"] for rank in range(2))
    assert len(first) == 2  # a batch in each of two epochs
    assert first == second


def test_the_first_process_alone_writes(two: Path) -> None:
    assert said(two, 0)["written"] > 0
    assert said(two, 1)["written"] == 0
    assert said(two, 1)["best"] == said(two, 0)["best"]


def test_a_process_that_is_killed_ends_the_others_with_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(probe.getsockname()[1])}
    command = [sys.executable, str(SCRIPT.with_name("peer.py")), str(tmp_path)]
    ranks = [place | {"RANK": str(i), "LOCAL_RANK": str(i)} for i in range(2)]
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    two = [subprocess.Popen(command, stdout=-1, text=True, env=os.environ | world | rank) for rank in ranks]
    said = [process.communicate(timeout=120)[0] for process in two]
    assert [process.returncode for process in two] == [4, -9], said
    assert re.search(r"another of the 2 processes has ended \(.*\); see what it said", said[0])


@pytest.mark.parametrize(
    ("name", "value", "got"), [("RANK", "2", "rank=2, world=1"), ("WORLD_SIZE", "x", "'x'")]
)
def test_an_environment_that_describes_no_group_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, got: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=rf"^RANK, WORLD_SIZE, LOCAL_WORLD_SIZE: .*{got}"):
        init()
