"""The script for GPUs runs where there is none, so that it is ready where there is one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.measurement import Measurement

SCRIPT = Path(__file__).parents[2] / "benchmarks/device.py"


def test_rows_of_a_device(tmp_path: Path) -> None:
    words = [
        "--tiny",
        "--compile",
        "no",
        "--rounds",
        "1",
        "--seconds",
        "0.1",
        "--record",
        str(tmp_path / "d.json"),
    ]
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = Measurement.read(tmp_path / "d.json").rows
    assert [row["case"] for row in rows] == ["classification, 32 px", "segmentation, 32 px"]
    for row in rows:
        assert row["fp32_difference"] <= 1e-3
        assert min(row[key] for key in ("img_per_s", "img_per_s_in_memory", "peak_mb")) > 0


def test_without_time_rows_are_left_out(tmp_path: Path) -> None:
    words = ["--tiny", "--minutes", "0", "--record", str(tmp_path / "d.json")]
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "classification, 32 px: 2 rows are left out, 0 minutes are over" in done.stdout
    assert Measurement.read(tmp_path / "d.json").rows == ()
