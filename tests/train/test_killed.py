from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def test_a_training_killed_at_random_moments_ends_with_the_same_bits(tmp_path: Path) -> None:
    script = [sys.executable, str(Path(__file__).with_name("killed.py")), str(tmp_path), "0"]
    done = subprocess.run(script, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    kills = re.fullmatch(r"(\d+) kills, same bits\n", done.stdout)
    assert kills
    assert int(kills[1]) >= 4
