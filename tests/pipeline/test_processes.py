"""The command as a process of its own: signals, and two processes that train together."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pipeline.results import FILE, FLOAT, INT8

SMALL = (
    "data=scenes", "data.num_train=16", "data.num_val=15", "data.size=32x32", "net.backbone=timm:resnet10t",
    "train.batch_size=8", "train.threads=1", "train.workers=0",
)  # fmt: skip


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_gives_its_exit_code(signum: int, code: int, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "xvision.cli", "train", "classification", *SMALL, "train.epochs=500"]
    process = subprocess.Popen(
        [*command, "--out", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 1/"):
            break
    process.send_signal(signum)
    _, error = process.communicate(timeout=120)
    assert process.returncode == code, error
    assert "the state is saved" in error
    assert "Traceback" not in error
    assert (out / "checkpoints/last.safetensors").is_file()


def test_the_command_in_two_processes(tmp_path: Path) -> None:
    """One writes; the other ends after training; metrics count every sample once, in a second run too."""
    out = tmp_path / "run"
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        _port(),
    ]
    command = [
        *launch,
        "-m",
        "xvision.cli",
        "run",
        "classification",
        *SMALL,
        "train.max_steps=2",
        "--out",
        str(out),
    ]
    for expected in ("train …", "train: up to date"):
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(expected) == 1
        if expected == "train …":
            (out / "quant/int8/model.json").unlink()  # so that the second run measures int8 again
    evaluation = json.loads((out / "evaluation.json").read_text())
    tables = {(row["network"], row["executor"]): row["table"] for row in evaluation["confusions"]}
    assert {column: sum(map(sum, table)) for column, table in tables.items()} == {
        FLOAT: 15,
        INT8: 15,
        FILE: 15,
    }
    without = subprocess.run(command[:-2], capture_output=True, text=True)
    assert without.returncode != 0
    assert "several processes must agree on a folder" in without.stderr


def _port() -> str:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
