"""What the settings of memory and of waiting threads do to one training, and to two at once on the same cores.

    python benchmarks/side_by_side.py                    # mobilenetv2_100, 128 px, batch 16: about ten minutes
    python benchmarks/side_by_side.py --record results/measured/side_by_side.json

Each row is a plain PyTorch training step with its batch in memory, in processes of their own: alone, then two that
start together. Rounds are interleaved; images/s are medians, page faults are those of a step.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

SETTINGS: dict[str, dict[str, str]] = {
    "as it comes": {},
    "memory kept": {"KEEP": "1"},
    "spin 1000": {"GOMP_SPINCOUNT": "1000"},
    "memory kept, spin 1000": {"KEEP": "1", "GOMP_SPINCOUNT": "1000"},
    "memory kept, spin 10000": {"KEEP": "1", "GOMP_SPINCOUNT": "10000"},
    "memory kept, passive": {"KEEP": "1", "OMP_WAIT_POLICY": "PASSIVE"},
    "memory kept, large pages": {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:"
                                 "glibc.malloc.trim_threshold=8589934592:glibc.malloc.top_pad=268435456",
                                 "GOMP_SPINCOUNT": "1000"},
}  # fmt: skip
OWN = ("MALLOC_", "GOMP_", "OMP_", "GLIBC_TUNABLES", "KEEP")


def work(model: str, size: int, batch: int, seconds: float) -> None:
    """Train for `seconds` after a warm-up that ends when the parent says so; prints what was measured."""
    if os.environ.get("KEEP"):
        from xvision.train.allocator import keep_memory

        keep_memory()
    import timm
    import torch
    import torch.nn.functional as F

    torch.manual_seed(0)
    network = timm.create_model(model, num_classes=10).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    images = torch.rand(batch, 3, size, size).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (batch,))

    def step() -> None:
        F.cross_entropy(network(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    for _ in range(3):
        step()
    print("ready", flush=True)
    sys.stdin.readline()
    steps, started = 0, time.perf_counter()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    while time.perf_counter() - started < seconds:
        step()
        steps += 1
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(
        json.dumps(
            {
                "img_per_s": steps * batch / (time.perf_counter() - started),
                "faults_per_step": (used.ru_minflt - faults) / steps,
                "peak_mb": used.ru_maxrss / 1e3,
            }
        ),
        flush=True,
    )


def measure(setting: str, num: int, options: argparse.Namespace) -> list[dict[str, float]]:
    """`num` trainings at once."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(OWN)}
    command = [sys.executable, __file__, "--work", "--model", options.model, "--size", str(options.size),
               "--batch", str(options.batch), "--seconds", str(options.seconds)]  # fmt: skip
    started = [
        subprocess.Popen(
            command,
            env=inherited | SETTINGS[setting],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(num)
    ]
    for one in started:
        assert one.stdout is not None
        one.stdout.readline()
    for one in started:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    return [json.loads(one.communicate()[0]) for one in started]


def compare(options: argparse.Namespace) -> list[dict[str, Any]]:
    names = options.settings or list(SETTINGS)
    found: dict[tuple[str, int], list[list[dict[str, float]]]] = {}
    for _ in range(options.rounds):
        for name in names:
            for num in (1, 2):
                found.setdefault((name, num), []).append(measure(name, num, options))
    rows = []
    for name in names:
        alone, two = (
            statistics.median(sum(one["img_per_s"] for one in each) for each in found[name, num])
            for num in (1, 2)
        )
        first = [each[0] for each in found[name, 1]]
        rows.append(
            {
                "settings": name,
                "img_per_s": round(alone, 1),
                "img_per_s_of_two": round(two, 1),
                "faults_per_step": round(statistics.median(one["faults_per_step"] for one in first)),
                "peak_mb": round(statistics.median(one["peak_mb"] for one in first)),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="mobilenetv2_100")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--settings", nargs="*", choices=SETTINGS)
    parser.add_argument("--record", type=Path, help="write a JSON file too")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        work(options.model, options.size, options.batch, options.seconds)
        return
    rows = compare(options)
    print(f"{'':28}{'img/s alone':>12}{'two at once':>12}{'of alone':>9}{'faults/step':>12}{'peak MB':>9}")
    for row in rows:
        share = row["img_per_s_of_two"] / row["img_per_s"]
        print(
            f"{row['settings']:28}{row['img_per_s']:12.1f}{row['img_per_s_of_two']:12.1f}{share:9.2f}"
            f"{row['faults_per_step']:12}{row['peak_mb']:9}"
        )
    if options.record:
        from measurement import measured

        measured(rows).write(options.record)


if __name__ == "__main__":
    main()
