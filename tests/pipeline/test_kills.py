"""A run that is killed ends as if it had not been; `benchmarks/kills.py` does it at every change of a file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks/kills.py"


@pytest.mark.sweep
def test_a_killed_run_ends_as_if_there_had_been_no_kill(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--chosen", "12", "--random", "0", "--keep", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith("12 of 12 kills end as if there had been none\n"), done.stdout + done.stderr
    assert done.returncode == 0
