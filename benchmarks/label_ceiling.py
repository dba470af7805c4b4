"""The best that a network can reach whose maps are smaller than the image: labels through the stride and back.

    python benchmarks/label_ceiling.py [--size 128x128] [--scenes 400] [--record]

Labels of drawn streets are averaged to maps of each stride (a share of each class in each cell, the mean of log depth),
enlarged bilinearly and compared with themselves. A decoder that enlarges its last map so cannot do much better.
`--record` keeps the rows in results/measured/.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F

from xvision.data.datasets.scenes import VAL_FIRST
from xvision.data.scenes import SEGMENTATION_CLASSES, scene
from xvision.report.measurement import measured
from xvision.sizes import Size, parse_size
from xvision.tasks.depth import LogDepthMetric
from xvision.tasks.metrics.label_map import LabelMapMetric
from xvision.tasks.motion import CLASSES as MOTION_CLASSES

STRIDES = (2, 4, 8)
FILE = Path(__file__).parents[1] / "results/measured/label_ceiling.json"


def scores(field: str, classes: Sequence[str], stride: int, size: Size, num_scenes: int) -> dict[str, float]:
    """The metrics of labels that went through maps of `stride`, over all scenes."""
    metric = LabelMapMetric(field, field, classes)
    for seed in range(VAL_FIRST, VAL_FIRST + num_scenes):
        labels = torch.from_numpy(scene(seed, size, "street")[field])[None]
        shares = F.one_hot(labels.long(), len(classes)).permute(0, 3, 1, 2).float()
        metric.update({field: F.avg_pool2d(shares, stride)}, {field: labels})  # which enlarges them again
    return metric.compute()


def depth_scores(stride: int, size: Size, num_scenes: int) -> dict[str, float]:
    """The metrics of depth that went through maps of `stride`; cells where none is known take their neighbours'."""
    metric = LogDepthMetric()
    for seed in range(VAL_FIRST, VAL_FIRST + num_scenes):
        depth = torch.from_numpy(scene(seed, size, "street")["depth"])[None, None]
        known = F.avg_pool2d((depth > 0).float(), stride)
        logs = F.avg_pool2d(torch.where(depth > 0, depth, 1).log(), stride)
        around = F.avg_pool2d(logs, 3, 1, 1) / F.avg_pool2d(known, 3, 1, 1).clamp(min=1e-6)
        raw = torch.where(known > 0, logs / known.clamp(min=1e-6), around)
        metric.update({"depth": raw}, {"depth": depth[:, 0]})
    return metric.compute()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=parse_size, default=(128, 128), help="HxW")
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--record", action="store_true", help=f"write {FILE.name}")
    args = parser.parse_args()
    rows: list[dict[str, float | str]] = []
    for stride in STRIDES:
        found = scores("segmentation", SEGMENTATION_CLASSES, stride, args.size, args.scenes)
        motion = scores("motion", MOTION_CLASSES, stride, args.size, args.scenes)
        depth = depth_scores(stride, args.size, args.scenes)
        rows.append(
            {"Stride": stride, "mean IoU, %": found["miou"]}
            | {name: found[f"iou_{name}"] for name in SEGMENTATION_CLASSES}
            | {"motion: mean IoU, %": motion["miou"]}
            | {"depth: relative error, %": depth["ard"], "from 3 m, cut at 20 m, %": depth["ard_rng3to20"]}
        )
    for row in rows:
        print("  ".join(f"{key} {value:.1f}" for key, value in row.items()))
    if args.record:
        measured(rows).write(FILE)


if __name__ == "__main__":
    main()
