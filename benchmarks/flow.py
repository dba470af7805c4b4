"""How near OpenCV's optical flow comes to the true flow of drawn scenes, and what its confidence knows of that.

    python benchmarks/flow.py [--size 128x128] [--scenes 50] [--level street] [--record]

Prints, per method of `data.flow`, the mean end-point error and the share of outliers (off by more than 3 px and more
than 5 %): of all pixels, of those whose confidence is at least 0.5, of the others, and how many each are. Without flow
says how far things move: the error of a flow of 0. `--record` keeps the rows in results/measured/.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from measurement import measured

from xvision.config.sizes import Size, parse_size
from xvision.data.datasets.scenes import VAL_FIRST
from xvision.data.flow import Method, optical_flow
from xvision.data.images import Array
from xvision.data.scenes import LEVELS, scene
from xvision.tasks.metrics.flow import FlowMetric

FILE = Path(__file__).parents[1] / "results/measured/flow.json"
TRUSTED = 0.5


class Errors:
    """Errors of one method over some of the pixels."""

    def __init__(self) -> None:
        self.metric = FlowMetric()
        self.counted = self.pixels = 0

    def add(self, found: Array, truth: Array, some: Array) -> None:
        """Count the pixels in `some`; flow (H, W, 2), some (H, W)."""
        known = np.where(some[..., None], truth, np.nan)
        self.metric.update({"flow": _tensor(found)}, {"flow": _tensor(known)})
        self.counted += int(some.sum())
        self.pixels += some.size

    def row(self) -> dict[str, float]:
        return {"share": 100 * self.counted / self.pixels, **self.metric.compute()}


def _tensor(flow: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(flow.transpose(2, 0, 1)))[None]


def measure(size: Size, num_scenes: int, level: str) -> dict[str, dict[str, float]]:
    """Share of pixels in percent, `epe_px` and `outlier_ratio`, by method and which of its pixels."""
    found: dict[str, Errors] = {}
    for seed in range(VAL_FIRST, VAL_FIRST + num_scenes):
        sample = scene(seed, size, level)
        truth = sample["flow"]
        everywhere = np.ones(size, bool)
        found.setdefault("without flow", Errors()).add(np.zeros_like(truth), truth, everywhere)
        for method in get_args(Method):
            flow, confidence = optical_flow(sample["previous"], sample["image"], method)
            trusted = confidence >= TRUSTED
            for which, some in (("", everywhere), (", trusted", trusted), (", not trusted", ~trusted)):
                found.setdefault(f"{method}{which}", Errors()).add(flow, truth, some)
    return {name: errors.row() for name, errors in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=parse_size, default=(128, 128), help="HxW")
    parser.add_argument("--scenes", type=int, default=50)
    parser.add_argument("--level", choices=list(LEVELS), default="street")
    parser.add_argument("--record", action="store_true", help=f"write {FILE.name}")
    args = parser.parse_args()
    rows = measure(args.size, args.scenes, args.level)
    if args.record:
        table = [
            {
                "Flow": name,
                "Pixels, %": row["share"],
                "End-point error, px": row["epe_px"],
                "Outliers, %": row["outlier_ratio"],
            }
            for name, row in rows.items()
        ]
        measured(table).write(FILE)
    print(f"{args.scenes} scenes ({args.level}) at {args.size[0]}x{args.size[1]}")
    print(f"{'':24}{'pixels, %':>12}{'error, px':>12}{'outliers, %':>13}")
    for name, row in rows.items():
        print(f"{name:24}{row['share']:12.1f}{row['epe_px']:12.2f}{row['outlier_ratio']:13.1f}")


if __name__ == "__main__":
    main()
