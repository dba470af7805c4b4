"""What our training loop costs beside a bare PyTorch loop, and which threads and workers are fastest.

    python benchmarks/train.py                              # the loop: same network, same batches in memory
    python benchmarks/train.py --hardware [--data DIR]      # threads x workers, CIFAR-10 through the loader

The bare loop is what one writes by hand: forward, loss, backward, step, nothing logged or saved. Ours includes its
metrics.jsonl, a validation on one batch and the checkpoints. Rounds are interleaved and the medians compared; CPU
seconds are given too, since other work on the machine does not change them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from xvision.console import Console
from xvision.data.batches import Batch
from xvision.data.datasets import dataset
from xvision.data.framing import Framing
from xvision.data.loader import Loader
from xvision.data.settings import Augment, Data
from xvision.models.backbones import backbone
from xvision.models.build import build_model
from xvision.models.decoders import decoder
from xvision.models.model import Model
from xvision.models.settings import Net
from xvision.tasks.classification import Classification
from xvision.train.loop import train
from xvision.train.places import Places
from xvision.train.settings import Train

TASK = Classification(tuple(f"class {i}" for i in range(10)), 0.0)
NETS = {
    "small": {"model": "regnetx_002", "strides": (2, 2, 2, 2, 2)},  # 5 ms a step at batch 16: overhead shows
    "resnet18 x0.5": {
        "model": "resnet18",
        "width": 0.5,
        "strides": (1, 2, 2, 2, 2),
    },  # cifar10_classification
}


class InMemory:
    """The loader's interface over batches that cost nothing."""

    def __init__(self, num_batches: int, batch_size: int) -> None:
        generator = torch.Generator().manual_seed(0)
        shape = (batch_size, 32, 32, 3)
        self.batches: list[Batch] = [
            {
                "image": torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8).permute(
                    0, 3, 1, 2
                ),
                "class": torch.randint(0, 10, (batch_size,), generator=generator),
                "name": [f"image {i}" for i in range(batch_size)],
            }
            for _ in range(num_batches)
        ]
        self.num_samples = num_batches * batch_size

    def __len__(self) -> int:
        return len(self.batches)

    def epoch(self, epoch: int, start_batch: int = 0, sizes: Any = None) -> Iterator[Batch]:
        yield from self.batches[start_batch:]


def build(net: str) -> Model:
    torch.manual_seed(0)
    settings = Net(backbone=backbone.timm(**NETS[net]), decoder=decoder.classifier())
    return build_model(settings, TASK.outputs_by_task, (32, 32))


def bare(model: Model, loader: Any, steps: int) -> None:
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    done = 0
    while done < steps:
        for batch in loader.epoch(0):
            loss = F.cross_entropy(model(batch["image"])["class"], batch["class"])
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
            done += 1


def ours(model: Model, loader: Any, steps: int, **settings: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        train(
            model,
            TASK,
            loader,
            InMemory(1, 16),  # type: ignore[arg-type]
            Train(epochs=10**6, max_steps=steps, **settings),
            Places.inside(Path(folder)),
            seed=0,
            console=Console(quiet=True),
        )


def timed(work: Callable[..., None], *args: Any, **settings: Any) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work(*args, **settings)
    return time.perf_counter() - wall, time.process_time() - cpu


def compare_loops(rounds: int, batch_size: int, steps: int) -> None:
    torch.set_num_threads(1)
    print(f"{'1 thread':16}{'bare steps/s':>14}{'ours':>8}{'ratio':>8}{'CPU ratio':>11}")
    for net in NETS:
        loader = InMemory(steps, batch_size)
        bare(build(net), loader, 2)
        ours(build(net), loader, 2, threads=1)
        a, b = [], []
        for _ in range(rounds):
            a.append(timed(bare, build(net), loader, steps))
            b.append(timed(ours, build(net), loader, steps, threads=1))
        (wall_a, cpu_a), (wall_b, cpu_b) = (
            [statistics.median(column) for column in zip(*times, strict=True)] for times in (a, b)
        )
        print(
            f"{net:16}{steps / wall_a:14.1f}{steps / wall_b:8.1f}{wall_a / wall_b:8.3f}{cpu_a / cpu_b:11.3f}"
        )


def compare_hardware(rounds: int, batch_size: int, steps: int) -> None:
    data = Data(dataset=dataset.cifar10(), size=(32, 32), augment=Augment(shift=0.125))
    split = data.dataset.build().splits["train"]
    cases = [(threads, workers) for threads in (1, 2) for workers in (0, 1, 2)]
    rates: dict[tuple[int, int], list[float]] = {case: [] for case in cases}
    for _ in range(rounds):
        for threads, workers in cases:
            loader = Loader(
                split,
                ("image", "class"),
                data,
                batch_size=batch_size,
                train=True,
                seed=0,
                framing=Framing("crop"),
                workers=workers,
            )
            next(loader.epoch(0))  # starts the workers
            wall, _ = timed(
                ours, build("resnet18 x0.5"), loader, steps, threads=threads, batch_size=batch_size
            )
            rates[threads, workers].append(steps * batch_size / wall)
    print(f"{'threads':>8}{'workers':>8}{'img/s':>8}{'best':>8}")
    for (threads, workers), found in rates.items():
        print(f"{threads:8}{workers:8}{statistics.median(found):8.0f}{max(found):8.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--hardware", action="store_true", help="threads x workers instead of the loops")
    parser.add_argument("--data", help="folder of the data sets (default: $XVISION_DATA)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch-size", type=int, default=16)
    options = parser.parse_args()
    if options.data:
        os.environ["XVISION_DATA"] = options.data
    (compare_hardware if options.hardware else compare_loops)(
        options.rounds, options.batch_size, options.steps
    )


if __name__ == "__main__":
    main()
