"""How well maps that are smaller than the image can say what labels say: fitted to the labels, one map for each scene.

    python benchmarks/label_ceiling.py [--size 128x128] [--scenes 50] [--record]

For labels of drawn streets, maps of each stride start as averages (the share of each class in a cell, the mean of log
depth) and are then fitted by gradient descent to what they give when they are enlarged bilinearly, as decoders enlarge
theirs. No network saw an image: what is missing to 100 % (0 for depth) is lost by the stride alone. `--record` keeps
the rows in results/measured/.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from measurement import measured
from torch import Tensor

from xvision.config.sizes import Size, parse_size
from xvision.data.datasets.scenes import VAL_FIRST
from xvision.data.scenes import SEGMENTATION_CLASSES, scene
from xvision.tasks.depth import LogDepthMetric, metres
from xvision.tasks.metrics.label_map import LabelMapMetric
from xvision.tasks.motion import CLASSES as MOTION_CLASSES

STRIDES = (2, 4, 8)
STEPS = 150
FILE = Path(__file__).parents[1] / "results/measured/label_ceiling.json"


def labels(field: str, size: Size, num_scenes: int) -> Tensor:
    """The labels (N, H, W) of the first validation scenes."""
    seeds = range(VAL_FIRST, VAL_FIRST + num_scenes)
    return torch.stack([torch.from_numpy(scene(seed, size, "street")[field]) for seed in seeds])


def fitted(maps: Tensor, stride: int, rate: float, loss: Callable[[Tensor], Tensor]) -> Tensor:
    """The maps with the least loss of what they are when enlarged."""
    maps = maps.clone().requires_grad_()
    optimizer = torch.optim.Adam([maps], lr=rate)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss(F.interpolate(maps, scale_factor=stride, mode="bilinear", align_corners=False)).backward()
        optimizer.step()
    return maps.detach()


def classes(field: str, names: Sequence[str], stride: int, size: Size, num_scenes: int) -> dict[str, float]:
    """The metrics of maps of class scores fitted to the labels."""
    ids = labels(field, size, num_scenes)
    shares = F.avg_pool2d(F.one_hot(ids.long(), len(names)).permute(0, 3, 1, 2).float(), stride)
    metric = LabelMapMetric(field, field, names)
    scores = fitted(8 * shares, stride, 0.5, lambda enlarged: F.cross_entropy(enlarged, ids.long()))
    metric.update({field: scores}, {field: ids})  # which enlarges them in the same way
    return metric.compute()


def depth(stride: int, size: Size, num_scenes: int) -> dict[str, float]:
    """The metrics of maps of depth fitted to the relative error; where none is known a cell begins as those around."""
    true_m = labels("depth", size, num_scenes)[:, None]
    known = true_m > 0
    shares = F.avg_pool2d(known.float(), stride)
    logs = F.avg_pool2d(torch.where(known, true_m, 1).log(), stride)
    around = F.avg_pool2d(logs, 3, 1, 1) / F.avg_pool2d(shares, 3, 1, 1).clamp(min=1e-6)
    start = torch.where(shares > 0, logs / shares.clamp(min=1e-6), around)

    def error(enlarged_m: Tensor) -> Tensor:
        return ((enlarged_m - true_m).abs() / true_m.clamp(min=0.1))[known].mean()

    # as in the task, metres are enlarged and not their logarithm
    fit = fitted(metres(start)[:, None], stride, 0.1, error)
    metric = LogDepthMetric()
    metric.update({"depth": fit.clamp(min=0.1).log()}, {"depth": true_m[:, 0]})
    return metric.compute()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=parse_size, default=(128, 128), help="HxW")
    parser.add_argument("--scenes", type=int, default=50)
    parser.add_argument("--record", action="store_true", help=f"write {FILE.name}")
    args = parser.parse_args()
    rows: list[dict[str, float | str]] = []
    for stride in STRIDES:
        found = classes("segmentation", SEGMENTATION_CLASSES, stride, args.size, args.scenes)
        motion = classes("motion", MOTION_CLASSES, stride, args.size, args.scenes)
        far = depth(stride, args.size, args.scenes)
        rows.append(
            {"Stride": stride, "mean IoU, %": found["miou"]}
            | {name: found[f"iou_{name}"] for name in SEGMENTATION_CLASSES}
            | {"motion: mean IoU, %": motion["miou"]}
            | {
                "depth: relative error, %": far["abs_rel"],
                "from 3 m, cut at 20 m, %": far["abs_rel_rng3to20"],
            }
        )
        print("  ".join(f"{key} {value:.1f}" for key, value in rows[-1].items()), flush=True)
    if args.record:
        measured(rows).write(FILE)


if __name__ == "__main__":
    main()
