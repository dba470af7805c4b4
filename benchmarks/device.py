"""Training on the device at hand: images/s, what the loader leaves of them, memory, and whether losses are the CPU's.

    python benchmarks/device.py --record results/measured/device.json     # at most eight minutes beside a GPU
    python benchmarks/device.py --tiny                                    # small cases, to see that it works

A row is a case with or without `train.compile`, in the precision that `train.precision=auto` chooses, in a process of
its own. Steps are those of `xvision train`, in turn with batches in memory and through the loader; figures are medians.

Losses of the first steps are compared with those in fp32 on the CPU, as a share of them: `fp32_difference` in fp32
without TF32, where more than `TOLERANCE` ends the script with exit code 1; `difference` as the row trains.
Peak memory is the device's; without an accelerator it is the process's. Rows that the minutes do not suffice for are
left out, with a line.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xvision.data.batches import Batch
    from xvision.data.loader import Loader
    from xvision.train.training import Training

TOLERANCE = 1e-3
"""In fp32 sums differ in their order alone, but batch norms and updates enlarge that from step to step."""
CHECKED_STEPS = 3
NO_ACCELERATOR = dict.fromkeys(("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ZE_AFFINITY_MASK"), "")
NO_TF32 = {"NVIDIA_TF32_OVERRIDE": "0"}


@dataclass(frozen=True)
class Case:
    """A recipe, the side of its images in px, images a batch, and how many there are."""

    recipe: str
    size: int
    batch: int
    num_images: int
    backbone: str = "timm:mobilenetv2_100"


CASES = {
    "classification, 224 px": Case("classification", 224, 64, 3000),
    "segmentation, 256 px": Case("segmentation", 256, 16, 400),
}
TINY = {
    "classification, 32 px": Case("classification", 32, 4, 24, "timm:resnet10t"),
    "segmentation, 32 px": Case("segmentation", 32, 4, 24, "timm:resnet10t"),
}


# ------------------------------------------------------------------------------------ in a process of its own


def begin(case: Case, photographs: str, folder: Path, **train: Any) -> tuple[Training, Loader, list[float]]:
    """A training after its first steps, its loader, and the losses of those steps."""
    import xvision as xv  # before torch: it says how long threads spin

    from training_step import endless, make_training  # isort: skip

    from xvision.train.allocator import keep_memory

    keep_memory()
    data = (
        ["data=image_folder", f"data.root={photographs}"]
        if case.recipe == "classification"
        else [f"data.num_train={case.num_images}", "data.num_val=8"]
    )
    recipe = xv.recipe(
        case.recipe, *data, f"data.size={case.size}x{case.size}", f"net.backbone={case.backbone}",
        f"train.batch_size={case.batch}", *(f"train.{key}={value}" for key, value in train.items()),
    )  # fmt: skip
    training, loader = make_training(recipe, folder)
    losses = []
    for batch in itertools.islice(endless(loader), CHECKED_STEPS):
        training.update([batch])
        losses.append(training.losses.read()["loss"])
    return training, loader, losses


def reference(case: Case, photographs: str, folder: Path) -> list[float]:
    """The losses of the first steps in fp32."""
    return begin(case, photographs, folder, precision="fp32", workers=0)[2]


def speed(
    case: Case, photographs: str, folder: Path, compiled: bool, options: argparse.Namespace
) -> dict[str, Any]:
    """Losses of the first steps, images/s with batches in memory and through the loader, and memory."""
    started = time.perf_counter()
    training, loader, losses = begin(case, photographs, folder, compile=str(compiled).lower())
    import torch
    from training_step import endless

    first_steps_s = time.perf_counter() - started
    held = list(itertools.islice(loader.epoch(0), 4))
    sources = {"in memory": itertools.cycle(held), "loader": endless(loader)}
    rates: dict[str, list[float]] = {source: [] for source in sources}
    for _ in range(options.rounds):
        for source, batches in sources.items():
            rates[source].append(img_per_s(training, batches, options.seconds))
    memory, loaded = (statistics.median(found) for found in rates.values())
    return {
        "device": training.learner.device.type,
        "precision": training.learner.accelerator.mixed_precision.replace("no", "fp32"),
        "img_per_s": round(loaded, 1),
        "img_per_s_in_memory": round(memory, 1),
        "share_of_step": round(loaded / memory, 3),
        "peak_mb": round(peak_bytes(torch.accelerator.is_available()) / 1e6),
        "first_steps_s": round(first_steps_s, 1),
        "losses": losses,
    }


def img_per_s(training: Training, batches: Iterator[Batch], seconds: float) -> float:
    """After the batches that wait ready in the loader; reading the losses waits for the device."""
    for batch in itertools.islice(batches, 2 + 2 * 8):
        training.update([batch])
    training.losses.read()
    started, num = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        for batch in itertools.islice(batches, 4):
            training.update([batch])
            num += len(batch["name"])
        training.losses.read()
    return num / (time.perf_counter() - started)


def peak_bytes(accelerator: bool) -> int:
    if accelerator:
        import torch

        return torch.accelerator.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


# ------------------------------------------------------------------------------------------------ the rows


class Clock:
    """The minutes that are left."""

    def __init__(self, minutes: float) -> None:
        self._end = time.monotonic() + 60 * minutes

    def run(self, words: Sequence[str], environment: dict[str, str]) -> Any:
        """What this script says in a process of its own; None if there is no time for it.

        Raises: SystemExit if the process fails.
        """
        left = self._end - time.monotonic()
        if left < 1:
            return None
        command = [sys.executable, __file__, *sys.argv[1:], *words]
        try:
            done = subprocess.run(
                command, env=os.environ | environment, stdout=subprocess.PIPE, text=True, timeout=left
            )
        except subprocess.TimeoutExpired:
            return None
        if done.returncode:
            raise SystemExit(f"{' '.join(words)}: exit {done.returncode}")
        return json.loads(done.stdout.splitlines()[-1])


def measure(name: str, photographs: str, clock: Clock, compiled: Sequence[bool]) -> Iterator[dict[str, Any]]:
    """The rows of a case that there is time for."""
    words = ["--work", name, "--photographs", photographs]
    on_cpu = clock.run([*words, "--losses"], NO_ACCELERATOR)
    on_device = clock.run([*words, "--losses"], NO_TF32) if on_cpu else None
    for one in compiled if on_device else ():
        row = clock.run([*words, *(["--compiled"] if one else [])], {})
        if row is None:
            return
        difference = largest_difference(row.pop("losses"), on_cpu)
        yield {
            "case": name,
            "compile": "yes" if one else "no",
            **row,
            "fp32_difference": largest_difference(on_device, on_cpu),
            "difference": difference,
        }


def largest_difference(losses: Sequence[float], expected: Sequence[float]) -> float:
    """As a share of what is expected, rounded up to two digits.

    >>> largest_difference([2.0, 3.003], [2.0, 3.0])
    0.001
    """
    return float(f"{max(abs(a - b) / abs(b) for a, b in zip(losses, expected, strict=True)):.2g}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--tiny", action="store_true", help="small cases, to see that it works")
    parser.add_argument("--compile", choices=("both", "yes", "no"), default="both")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--record", type=Path, help="write a JSON file too")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--photographs", help=argparse.SUPPRESS)
    parser.add_argument("--losses", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--compiled", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    cases = TINY if options.tiny else {name: CASES[name] for name in options.cases}
    if options.work:
        case = cases[options.work]
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            found = (
                reference(case, options.photographs, place)
                if options.losses
                else speed(case, options.photographs, place, options.compiled, options)
            )
        print(json.dumps(found))
        return
    raise SystemExit(compare(cases, options))


def compare(cases: dict[str, Case], options: argparse.Namespace) -> int:
    """Print and keep the rows of all cases; 1 if a loss in fp32 is not the CPU's."""
    from stages import write_photographs

    clock = Clock(options.minutes)
    compiled = {"both": (False, True), "yes": (True,), "no": (False,)}[options.compile]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XVISION_CACHE"] = str(Path(folder) / "cache")
        num = max(case.num_images for case in cases.values())
        photographs = str(write_photographs(Path(folder) / "photographs", num, 8))
        for name in cases:
            found = []
            for row in measure(name, photographs, clock, compiled):
                found.append(row)
                print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            if len(found) < len(compiled):
                print(
                    f"{name}: {len(compiled) - len(found)} rows are left out, {options.minutes:g} minutes are over"
                )
            rows += found
    if options.record:
        from measurement import measured

        measured(rows).write(options.record)
    wrong = [row["case"] for row in rows if row["fp32_difference"] > TOLERANCE]
    for name in dict.fromkeys(wrong):
        print(f"{name}: losses in fp32 differ from the CPU's by more than {TOLERANCE:g}")
    return 1 if wrong else 0


if __name__ == "__main__":
    main()
