"""How many images a second the loader gives on one core, from the cache and with the first decoding.

    python benchmarks/loader.py [--data DIR] [--epochs 3]

Reads cifar10 (50,000 images of 32x32; shift 4/32 and mirror) and flowers5 (3,015 of 64x64; zoom, rotation, colours)
from --data or $XVISION_DATA, into a cache of its own. Prints one line per case: without workers, the same per second
of this process's CPU time (which other work on the machine does not change), and with one worker on the same core.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time

from xvision.data.datasets import dataset
from xvision.data.framing import Framing
from xvision.data.loader import Loader
from xvision.data.settings import Augment, Data

CASES = {
    "cifar10, shift + mirror": (dataset.cifar10(), (32, 32), Augment(shift=4 / 32)),
    "cifar10, + zoom and rotation": (
        dataset.cifar10(),
        (32, 32),
        Augment(shift=4 / 32, zoom=(0.8, 1.2), rotate_deg=10),
    ),
    "cifar10, + mixup or cutmix": (dataset.cifar10(), (32, 32), Augment(shift=4 / 32, mixup=0.2, cutmix=1.0)),
    "flowers5, zoom + mirror": (dataset.image_folder(root="flowers5"), (64, 64), Augment(zoom=(1.0, 1.4))),
    "flowers5, + brightness, contrast": (
        dataset.image_folder(root="flowers5"),
        (64, 64),
        Augment(zoom=(1.0, 1.4), brightness=0.3, contrast=0.3),
    ),
    "flowers5, + RandAugment, erasing": (
        dataset.image_folder(root="flowers5"),
        (64, 64),
        Augment(zoom=(1.0, 1.4), randaugment=2, erasing=0.3),
    ),
}


def images_per_second(loader: Loader, epochs: int) -> tuple[float, float]:
    """Per second and per second of CPU time: medians over the epochs after the first, which starts the workers."""
    rates, cpu_rates = [], []
    for epoch in range(epochs + 1):
        start, cpu_start = time.perf_counter(), time.process_time()
        count = sum(len(batch["index"]) for batch in loader.epoch(epoch))
        rates.append(count / (time.perf_counter() - start))
        cpu_rates.append(count / (time.process_time() - cpu_start))
    return statistics.median(rates[1:]), statistics.median(cpu_rates[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", help="folder of the sets (default: $XVISION_DATA)")
    parser.add_argument("--epochs", type=int, default=3)
    options = parser.parse_args()
    if options.data:
        os.environ["XVISION_DATA"] = options.data
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XVISION_CACHE"] = cache
        print(f"{'':34}{'decoding s':>12}{'images/s':>12}{'/CPU s':>10}{'1 worker':>10}")
        for name, (part, size, augment) in CASES.items():
            data = Data(dataset=part, size=size, augment=augment)
            split = part.build().splits["train"]
            start = time.perf_counter()
            loaders = [
                Loader(
                    split,
                    ("image", "class"),
                    data,
                    batch_size=128,
                    train=True,
                    seed=0,
                    framing=Framing("crop"),
                    workers=workers,
                )
                for workers in (0, 1)
            ]
            decoding = time.perf_counter() - start
            (alone, cpu), (worker, _) = (images_per_second(loader, options.epochs) for loader in loaders)
            print(f"{name:34}{decoding:12.2f}{alone:12.0f}{cpu:10.0f}{worker:10.0f}")


if __name__ == "__main__":
    main()
