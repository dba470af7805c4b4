"""train.py of timm's repository, by its command line; a contender of benchmarks/peers.py.

Its path is the second argument. The repository's own timm is imported, since it lies beside the script.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from clock import Work, timed


def train(work: Work) -> None:
    script = Path(sys.argv[2]).resolve()
    sys.argv = [
        str(script), work.images, "--model", "mobilenetv2_100", "--num-classes", "2", "--device", "cpu",
        "--img-size", str(work.size), "--batch-size", str(work.batch), "--workers", str(work.workers),
        "--scale", "0.5", "1.0", "--ratio", str(1 / 1.2), "1.2", "--color-jitter", "0.2", "--channels-last",
        "--train-interpolation", "bilinear", "--lr", "0.01", "--epochs", "1000000", "--val-interval", "1000000",
        "--output", work.out,
    ]  # fmt: skip
    sys.path.insert(0, str(script.parent))
    runpy.run_path(str(script), run_name="__main__")


if __name__ == "__main__":
    timed(train)
