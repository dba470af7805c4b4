from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from xvision.train import hardware


@pytest.fixture
def four_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(4)), raising=False)
    monkeypatch.setattr(hardware, "CGROUP_LIMIT", tmp_path / "cpu.max")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.usefixtures("four_cores")
@pytest.mark.parametrize(
    ("quota", "processes", "cores"),
    [
        (None, 1, 4),
        ("max 100000", 1, 4),
        ("150000 100000", 1, 2),
        (None, 2, 2),
        ("50000 100000", 8, 1),
    ],
)
def test_cores_are_those_this_process_may_use(quota: str | None, processes: int, cores: int) -> None:
    if quota:
        hardware.CGROUP_LIMIT.write_text(quota + "\n")
    assert hardware.num_cores(processes) == cores


@pytest.mark.usefixtures("four_cores")
def test_threads_and_workers_follow_the_setting_the_environment_the_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (hardware.num_threads(3), hardware.num_threads(0)) == (3, 4)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert hardware.num_threads(0) == 2
    assert hardware.num_workers(0) == 0
    assert hardware.num_workers(5) == 5
    assert hardware.num_workers("auto") == (3 if torch.accelerator.is_available() else 1)


def test_sixteen_bits_only_where_the_hardware_has_them() -> None:
    cpu = torch.device("cpu")
    assert hardware.mixed_precision("auto", cpu) == "no"
    assert hardware.mixed_precision("fp32", cpu) == "no"
    assert hardware.mixed_precision("bf16", cpu) == "bf16"
    assert hardware.mixed_precision("fp16", torch.device("cuda")) == "fp16"
