"""benchmarks/peers.py: what its clock counts, and its table with the contenders that are always there."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.contenders.clock import WARM_STEPS, Clock, Enough, Work
from benchmarks.measurement import Measurement

SCRIPT = Path(__file__).parents[2] / "benchmarks/peers.py"


def make_work(seconds: float, started: float) -> Work:
    return Work(
        images="", size=32, batch=8, num_images=24, workers=0, seconds=seconds, out="", started=started
    )


def test_the_clock_counts_after_the_first_epoch_and_then_stops() -> None:
    started = time.time() - 100
    clock = Clock(make_work(0.0, started))
    for _ in range(24 // 8 + WARM_STEPS):
        clock.step()
        assert not clock.found
    with pytest.raises(Enough):
        clock.step()
    assert clock.found["first_step_s"] == pytest.approx(100, abs=5)
    assert clock.found["whole_img_per_s"] == pytest.approx(6 * 8 / 100, rel=0.05)
    assert clock.found["peak_mib"] > 10


@pytest.mark.sweep
def test_the_table_of_xvision_and_a_bare_loop(tmp_path: Path) -> None:
    words = ("--sizes", "32", "--batch", "8", "--images", "32", "--rounds", "1", "--seconds", "0.5")
    record = tmp_path / "peers.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words, "--workers", "0", "--no-int8", "--record", str(record)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(SCRIPT.parents[1] / "src")},
    )
    assert done.returncode == 0, done.stderr
    rows = Measurement.read(record).rows
    assert [(row["contender"], row["settings"]) for row in rows] == [
        ("xvision", "as it comes"),
        ("bare PyTorch loop", "as it comes"),
        ("bare PyTorch loop", "with our settings"),
    ]
    assert rows[0]["xvision x"] == 1
    for row in rows:
        assert min(float(row["img/s"]), float(row["whole img/s"])) > 0
        rate = float(row["img/s"])  # one decimal of it is there
        assert float(row["xvision x"]) == pytest.approx(float(rows[0]["img/s"]) / rate, rel=0.05 + 0.1 / rate)
    assert "bare PyTorch loop" in done.stdout
