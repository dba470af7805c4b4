"""Training through the loader against the step that has its batch in memory, for each number of loader processes.

    python benchmarks/end_to_end.py                              # about ten minutes on two cores
    python benchmarks/end_to_end.py --cases "64 px" --record results/measured/end_to_end.json

Photographs of 320x240 with the default augmentation of `classification`, and drawn streets with maps for
`segmentation`; both from the cache, as from the second epoch on. Rounds are interleaved, figures are medians.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import xvision as xv  # before torch: it says how long threads spin

import torch  # isort: skip

from measurement import measured
from stages import write_photographs
from training_step import endless

from xvision.data.batches import Batch
from xvision.runs.build import complete
from xvision.runs.run import Run
from xvision.train.allocator import keep_memory
from xvision.train.forward import forward

CASES = {
    "64 px": ("classification", 64, 64),
    "128 px": ("classification", 128, 32),
    "160 px": ("classification", 160, 32),
    "224 px": ("classification", 224, 16),
    "maps, 128 px": ("segmentation", 128, 16),
}
WORKERS = (0, 1, 2)


class Case:
    """A network, its step and its loaders."""

    def __init__(self, name: str, photographs: Path) -> None:
        recipe, size, batch = CASES[name]
        data = [f"data.root={photographs}", "data=image_folder"] if recipe == "classification" else []
        self.recipe = xv.recipe(
            recipe, *data, *([] if data else ["data.num_train=300", "data.num_val=8"]),
            f"data.size={size}x{size}", "net.backbone=timm:mobilenetv2_100", f"train.batch_size={batch}",
        )  # fmt: skip
        self.run = self.with_workers(0)
        self.task = self.run.task
        self.model = self.run.build(weights=False).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
        sources = {
            f"{num} processes": endless(self.with_workers(num).loader("train", train=True)) for num in WORKERS
        }
        held = list(itertools.islice(sources["0 processes"], 4))
        self.sources: dict[str, Iterator[Batch]] = {"in memory": itertools.cycle(held), **sources}

    def with_workers(self, num: int) -> Run:
        train = self.recipe.train.model_copy(update={"workers": num})
        return Run(Path("no folder"), complete(self.recipe.model_copy(update={"train": train})))

    def step(self, batch: Batch) -> None:
        out = forward(self.model, batch, self.model.inputs)
        losses = self.task.losses(out, batch)
        torch.stack([term for terms in losses.values() for term in terms.values()]).sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def img_per_s(self, source: Iterator[Batch], seconds: float) -> float:
        for batch in itertools.islice(source, 2):
            self.step(batch)
        started, num = time.perf_counter(), 0
        while time.perf_counter() - started < seconds:
            batch = next(source)
            self.step(batch)
            num += len(batch["name"])
        return num / (time.perf_counter() - started)


def compare(name: str, photographs: Path, rounds: int, seconds: float) -> dict[str, Any]:
    case = Case(name, photographs)
    found: dict[str, list[float]] = {source: [] for source in case.sources}
    for _ in range(rounds):
        for source, batches in case.sources.items():
            found[source].append(case.img_per_s(batches, seconds))
    return {"case": name, **{source: round(statistics.median(rates), 1) for source, rates in found.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--record", type=Path, help="write a JSON file too")
    options = parser.parse_args()
    keep_memory()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XVISION_CACHE"] = str(Path(folder) / "cache")
        photographs = write_photographs(Path(folder) / "photographs")
        for name in options.cases:
            rows.append(compare(name, photographs, options.rounds, options.seconds))
            memory = rows[-1]["in memory"]
            shares = [f"{key} {rows[-1][key] / memory:.3f}" for key in rows[-1] if "processes" in key]
            print(f"{name:16}{memory:8.1f} img/s in memory; {', '.join(shares)}", flush=True)
    if options.record:
        measured(rows).write(options.record)


if __name__ == "__main__":
    main()
