"""Make every record in results/ again, from the data sets in $XVISION_DATA.

    python benchmarks/records.py [NAME or GROUP …] [--runs runs/records] [--jobs 2]

A record is a recipe run with each of its seeds; what is done already in --runs is not done again. Records say which
commit they are of: commit first. --check says which records are not of their recipes as these stand today. With
--jobs N, N runs go side by side, each on its share of the cores: networks this small use two cores best as two
trainings of one thread each.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from summary import Summary, aggregate, outdated

import xvision as xv
from xvision.runs.build import complete
from xvision.runs.record import Record

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
    group: str = ""


CLASSIFICATION = (
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
)

# the table of balancing methods: fewer scenes and epochs than the recipe has, and a decoder for each task
STREET = (
    "data.num_train=1000",
    "data.num_val=200",
    "train.epochs=5",
    "train.validate_every=5",
    "net.shared_decoder=false",
    "train.precision=fp32",
    "net.decoder.width=0.25",
)
# short trainings: the original system's two slow averages would hardly move with their own defaults
QUICK = tuple(
    f"train.balancing.{setting}"
    for setting in ("lr=0.01", "norm_factor=0.05", "short_factor=0.05", "long_factor=0.001")
)
BALANCING: dict[str, tuple[str, ...]] = {
    "fixed": (),
    "uncertainty": ("train.balancing.regression=depth",),
    "gradnorm": (),
    "pseudo_gradnorm": QUICK,
    "dwa": (),
    "pcgrad": (),
}
TASKS = ("segmentation", "depth", "motion")
SEEDS = (0, 1, 2)
INPUTS = {"previous": "image+previous", "flow": "image+flow", "flow_confidence": "image+flow+confidence"}
# the row of each table of motion that has three seeds: the best one
BEST = {"cdnet_motion_flow_confidence", "davis16_motion_flow_confidence"}

DENSE = (
    Job("camvid_segmentation", "camvid_segmentation", seeds=(0, 1, 2), group="dense"),
    Job("camvid_segmentation_scratch", "camvid_segmentation", ("net.weights=none",), group="dense"),
    Job("nyuv2_segmentation", "nyuv2_segmentation", seeds=SEEDS, group="dense"),
    Job("nyuv2_depth", "nyuv2_depth", seeds=SEEDS, group="dense"),
    Job("nyuv2_segmentation_depth", "nyuv2_segmentation+nyuv2_depth", seeds=SEEDS, group="dense"),
    Job("street", "street", group="dense"),
    # what more training would give, which the time for `dense` has no room for
    Job("street_long", "street", ("train.epochs=24", "train.validate_every=8"), until="train"),
    *(
        Job(f"street_single_{t}", "street", (f"task={t}", *STREET), SEEDS, "train", "balancing")
        for t in TASKS
    ),
    *(
        Job(
            f"street_{name}",
            "street",
            (f"train.balancing={name}", *more, *STREET),
            SEEDS,
            "train",
            "balancing",
        )
        for name, more in BALANCING.items()
    ),
    *(
        Job(
            name,
            f"{data}_motion",
            (f"net.inputs={inputs}",),
            seeds=SEEDS if name in BEST else (0,),
            group="motion",
        )
        for data in ("cdnet", "davis16")
        for suffix, inputs in INPUTS.items()
        for name in (f"{data}_motion_{suffix}",)
    ),
)

JOBS = (*CLASSIFICATION, *DENSE)


def stale(job: Job) -> dict[str, tuple[Any, Any]]:
    """The settings in which the record of a job is not of its recipe as that stands today."""
    found: dict[str, tuple[Any, Any]] = {}
    for record in Summary.read(ROOT / "results" / f"{job.name}.json").records:
        found |= outdated(record, complete(xv.recipe(job.recipe, *job.overrides, f"seed={record.seed}")))
    return found


def run_one(job: Job, seed: int, runs: Path) -> Record:
    """Bring one run of a record up to date, in a process of its own."""
    out = runs / f"{job.name}-{seed}"
    file = runs / f"{out.name}.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(xv.recipe(job.recipe, *job.overrides, f"seed={seed}").to_yaml())
    verb = "run" if job.until == "report" else job.until
    print(f"{job.name}, seed {seed}: {out}", flush=True)
    with (runs / f"{out.name}.log").open("w") as log:
        command = [sys.executable, "-m", "xvision.cli", verb, str(file), "--out", str(out)]
        if subprocess.run(command, stdout=log, stderr=subprocess.STDOUT).returncode:
            raise SystemExit(f"{out}: failed, see {log.name}")
    return Record.read(out / "record.json")


def cores_for(jobs: int) -> Callable[[], None]:
    """What gives each thread, and the runs that it starts, cores of their own; for the threads of a pool."""
    if not hasattr(os, "sched_setaffinity"):
        return lambda: None
    cores = sorted(os.sched_getaffinity(0))
    share = max(1, len(cores) // jobs)
    shares = iter([cores[at : at + share] for at in range(0, share * jobs, share)])
    return lambda: os.sched_setaffinity(0, next(shares) or cores)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    known = {job.name for job in JOBS} | {job.group for job in JOBS if job.group}
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(sorted(known)))
    parser.add_argument("--runs", type=Path, default=Path("runs/records"))
    parser.add_argument("--check", action="store_true", help="say which records are stale, and make none")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - known:
        parser.error(f"no record is called {', '.join(sorted(unknown))}")
    jobs = [job for job in JOBS if not asked.names or {job.name, job.group} & set(asked.names)]
    if asked.check:
        for job in jobs:
            for key, (then, now) in stale(job).items():
                print(f"{job.name}: {key} was {then!r}, is {now!r}")
        return
    with ThreadPoolExecutor(asked.jobs, initializer=cores_for(asked.jobs)) as pool:
        waiting = {job: [pool.submit(run_one, job, seed, asked.runs) for seed in job.seeds] for job in jobs}
        for job, runs in waiting.items():
            file = ROOT / "results" / f"{job.name}.json"
            aggregate([run.result() for run in runs]).write(file)
            print(f"written  {file}", flush=True)


if __name__ == "__main__":
    main()
