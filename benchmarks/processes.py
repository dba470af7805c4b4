"""Two processes with one thread each against one process with two threads: images/s of the same training.

    python benchmarks/processes.py                       # three cases, about six minutes on two cores
    python benchmarks/processes.py --record results/measured/processes.json

The two exchange gradients through gloo; each takes half of the batch of the one. Steps are those of `xvision train`,
with batches in memory. All processes live through all rounds and wait for their turn, so that rounds are interleaved;
figures are medians.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CASES = {
    "64 px": ("classification", 64, 64),
    "128 px": ("classification", 128, 32),
    "maps, 128 px": ("segmentation", 128, 16),
}
"""Recipe, side of the images in px, images a step of all processes."""


def work(case: str, backbone: str) -> None:
    """Train as a process of the environment: a line of stdin is a number of steps, one of stdout their seconds."""
    import xvision as xv  # before torch: it says how long threads spin

    from training_step import make_training  # isort: skip

    from xvision.train.allocator import keep_memory
    from xvision.train.processes import init

    keep_memory()
    processes = init()
    name, size, batch = CASES[case]
    recipe = xv.recipe(
        name, f"net.backbone=timm:{backbone}", f"data.size={size}x{size}", "data.num_train=128", "data.num_val=8",
        f"train.batch_size={batch // processes.world}", f"train.threads={2 // processes.world}", "train.workers=0",
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        training, loader = make_training(recipe, Path(folder), processes)
        batches = itertools.cycle(list(itertools.islice(loader.epoch(0), 2)))
        print("ready", flush=True)
        for line in sys.stdin:
            started, cpu = time.perf_counter(), time.process_time()
            for _ in range(int(line)):
                training.update([next(batches)])
            training.losses.read()
            said = {"wall_s": time.perf_counter() - started, "cpu_s": time.process_time() - cpu}
            print(json.dumps(said), flush=True)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def member(rank: int, world: int, port: int) -> dict[str, str]:
    """The environment that torchrun would give."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
    return {name: str(number) for name, number in numbers.items()} | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }


class Group:
    """Processes that train together and wait for their turn."""

    def __init__(self, case: str, world: int, backbone: str) -> None:
        command = [sys.executable, __file__, "--work", "--cases", case, "--backbone", backbone]
        self.images = CASES[case][2]
        inherited = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        port = free_port()
        self.members = [
            subprocess.Popen(
                command,
                env=inherited | (member(rank, world, port) if world > 1 else {}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for rank in range(world)
        ]

    def answers(self) -> list[str]:
        """A line of each member. Raises: SystemExit if one has none."""
        lines = [one.stdout.readline() for one in self.members if one.stdout]
        if not all(lines):
            raise SystemExit("a training has ended; see what it said")
        return lines

    def train(self, steps: int) -> tuple[float, float]:
        """Images per second of all members, CPU milliseconds per image."""
        for one in self.members:
            assert one.stdin is not None
            one.stdin.write(f"{steps}\n")
            one.stdin.flush()
        found = [json.loads(line) for line in self.answers()]
        images = steps * self.images
        return images / max(one["wall_s"] for one in found), 1e3 * sum(one["cpu_s"] for one in found) / images

    def close(self) -> None:
        for one in self.members:
            assert one.stdin is not None
            one.stdin.close()
        for one in self.members:
            one.wait()


def compare(case: str, rounds: int, seconds: float, backbone: str) -> dict[str, Any]:
    groups = {world: Group(case, world, backbone) for world in (1, 2)}
    found: dict[int, list[tuple[float, float]]] = {world: [] for world in groups}
    try:
        for group in groups.values():
            group.answers()
            group.train(3)
        steps = max(2, round(seconds * groups[1].train(3)[0] / groups[1].images))
        for _ in range(rounds):
            for world, group in groups.items():
                found[world].append(group.train(steps))
    finally:
        for group in groups.values():
            group.close()
    (one, cpu_of_one), (two, cpu_of_two) = (_medians(found[world]) for world in groups)
    ratios = [b[0] / a[0] for a, b in zip(found[1], found[2], strict=True)]
    return {
        "case": case,
        "img_per_s": round(one, 1),
        "img_per_s_of_two": round(two, 1),
        "ratio": round(statistics.median(ratios), 3),
        "cpu_ms_per_image": round(cpu_of_one, 2),
        "cpu_ms_per_image_of_two": round(cpu_of_two, 2),
    }


def _medians(rows: Sequence[tuple[float, float]]) -> tuple[float, float]:
    first, second = (statistics.median(column) for column in zip(*rows, strict=True))
    return first, second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--cases", nargs="*", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--backbone", default="mobilenetv2_100")
    parser.add_argument("--record", type=Path, help="write a JSON file too")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.cases[0], options.backbone)
        return
    rows = []
    for case in options.cases:
        rows.append(compare(case, options.rounds, options.seconds, options.backbone))
        row = rows[-1]
        print(
            f"{case:16}{row['img_per_s']:8.1f} img/s, of two processes {row['img_per_s_of_two']:8.1f}: "
            f"{row['ratio']:.3f}; CPU ms per image {row['cpu_ms_per_image']:.2f}, {row['cpu_ms_per_image_of_two']:.2f}",
            flush=True,
        )
    if options.record:
        from measurement import measured

        measured(rows).write(options.record)


if __name__ == "__main__":
    main()
