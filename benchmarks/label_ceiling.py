"""The best that a network can reach whose maps are smaller than the image: labels through the stride and back.

    python benchmarks/label_ceiling.py [--size 128x128] [--scenes 400] [--record]

Labels of drawn streets are averaged to maps of each stride, a share of each class in each cell, enlarged bilinearly and
compared with themselves. A decoder that enlarges its last map so cannot do better, but by chance. `--record` keeps the
rows in results/measured/.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from xvision.data.datasets.scenes import VAL_FIRST
from xvision.data.scenes import SEGMENTATION_CLASSES, scene
from xvision.report.measurement import measured
from xvision.sizes import parse_size

STRIDES = (1, 2, 4, 8)
FILE = Path(__file__).parents[1] / "results/measured/label_ceiling.json"


def through(labels: Tensor, num_classes: int, stride: int) -> Tensor:
    """Labels (H, W) as maps of `stride` can give them."""
    shares = F.avg_pool2d(F.one_hot(labels, num_classes).permute(2, 0, 1)[None].float(), stride)
    if stride > 1:
        shares = F.interpolate(shares, scale_factor=stride, mode="bilinear")
    return shares[0].argmax(0)


def ious(field: str, num_classes: int, stride: int, size: tuple[int, int], num_scenes: int) -> np.ndarray:
    """Intersection over union of each class in percent, over all scenes."""
    counts = np.zeros((num_classes, num_classes))
    for i in range(num_scenes):
        labels = torch.from_numpy(scene(VAL_FIRST + i, size, "street")[field].astype(np.int64))
        found = through(labels, num_classes, stride)
        pairs = labels * num_classes + found
        counts += np.bincount(pairs.flatten().numpy(), minlength=num_classes**2).reshape(counts.shape)
    both = np.diag(counts)
    iou: np.ndarray = 100 * both / (counts.sum(0) + counts.sum(1) - both)
    return iou


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
        classes = ious("segmentation", len(SEGMENTATION_CLASSES), stride, args.size, args.scenes)
        motion = ious("motion", 2, stride, args.size, args.scenes)
        rows.append(
            {"Stride": stride, "mean IoU, %": float(classes.mean())}
            | dict(zip(SEGMENTATION_CLASSES, map(float, classes), strict=True))
            | {"motion: mean IoU, %": float(motion.mean())}
        )
    found = measured("python benchmarks/label_ceiling.py", rows)
    for row in rows:
        print("  ".join(f"{key} {value:.1f}" for key, value in row.items()))
    if args.record:
        found.write(FILE)


if __name__ == "__main__":
    main()
