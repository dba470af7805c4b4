"""How long the command line takes to answer: the promise is --help < 0.3 s, list and show < 1 s.

python benchmarks/startup.py
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

COMMANDS = {("--help",): 0.3, ("list",): 1.0, ("show", "classification"): 1.0, ("run", "clasification"): 1.0}


def main() -> None:
    for arguments, limit_s in COMMANDS.items():
        times = []
        for _ in range(5):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-m", "xvision.cli", *arguments], capture_output=True)
            times.append(time.perf_counter() - started)
        median = statistics.median(times)
        verdict = "ok" if median < limit_s else "TOO SLOW"
        print(f"xvision {' '.join(arguments):24} {median:.2f} s, limit {limit_s} s: {verdict}")


if __name__ == "__main__":
    main()
