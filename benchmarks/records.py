"""Make every record in results/ anew, from the data sets in $XVISION_DATA.

    python benchmarks/records.py [NAME …] [--runs runs/records]

A record is a recipe run with each of its seeds; what is done already in --runs is not done again. Records say which
commit they are of: commit first.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import xvision as xv
from xvision.console import Console
from xvision.report.record import aggregate

ROOT = Path(__file__).parents[1]
SAMPLES = ("data.classes=class_index.json",)


@dataclass(frozen=True)
class Job:
    """One file in results/."""

    name: str
    recipe: str
    overrides: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    until: str = "report"


JOBS = (
    Job("cifar10_classification", "cifar10_classification", seeds=(0, 1, 2)),
    Job("flowers5_classification", "flowers5_classification"),
    # the published weights on all 500 images there are, in float: nothing is left to find int8 ranges on
    Job(
        "imagenet_samples_float",
        "imagenet_classification",
        ("data.root=imagenet_samples", *SAMPLES),
        until="train",
    ),
    # 100 of them for the ranges, the other 400 to measure on
    Job(
        "imagenet_samples_int8",
        "imagenet_classification",
        ("data.root=imagenet_samples/val", "data.val_ratio=0.8", *SAMPLES),
    ),
    Job("camvid_segmentation", "camvid_segmentation", seeds=(0, 1, 2)),
    Job("nyuv2_segmentation", "nyuv2_segmentation"),
    Job("nyuv2_depth", "nyuv2_depth"),
    Job("nyuv2_segmentation_depth", "nyuv2_segmentation+nyuv2_depth", seeds=(0, 1, 2)),
    Job("camvid_segmentation_scratch", "camvid_segmentation", ("net.weights=none",)),
)


def make(job: Job, runs: Path) -> None:
    """Bring the runs of one record up to date and write it."""
    records = []
    for seed in job.seeds:
        recipe = xv.recipe(job.recipe, *job.overrides, f"seed={seed}")
        out = runs / f"{job.name}-{seed}"
        print(f"{job.name}, seed {seed}: {out}", flush=True)
        records.append(xv.run(recipe, out, until=job.until, console=Console()).record)
    file = ROOT / "results" / f"{job.name}.json"
    aggregate(records).write(file)
    print(f"written  {file}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(job.name for job in JOBS))
    parser.add_argument("--runs", type=Path, default=Path("runs/records"))
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - {job.name for job in JOBS}:
        parser.error(f"no record is called {', '.join(sorted(unknown))}")
    for job in JOBS:
        if not asked.names or job.name in asked.names:
            make(job, asked.runs)


if __name__ == "__main__":
    main()
