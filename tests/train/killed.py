"""Trains in processes that are killed at random moments, and once in one that is not; compares the results.

Each attempt is a fork of this process, so that torch is imported once. The child says one byte per batch; the parent
kills it when it has heard a random number of them, wherever the child is by then: in a step, or writing a file.
"""

from __future__ import annotations

import os
import random
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tiny import TinyNet, places, tiny_loader, tiny_task

from xvision.console import Console
from xvision.data.batches import Batch
from xvision.data.loader import Loader
from xvision.train.checkpoint import read_tensors
from xvision.train.loop import train
from xvision.train.settings import Train

SETTINGS = Train(
    epochs=4, optimizer="adamw:0.01", ema=0.9, threads=1, log_every=3, checkpoint_minutes=1e-9
)  # a checkpoint after every step: many of the kills hit one that is being written


class Telling:
    def __init__(self, loader: Loader, pipe: int) -> None:
        self.loader, self.pipe, self.num_samples = loader, pipe, loader.num_samples

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, start_batch: int = 0, sizes: Any = None) -> Iterator[Batch]:
        for batch in self.loader.epoch(epoch, start_batch, sizes):
            os.write(self.pipe, b".")
            yield batch


def attempt(folder: Path, num_batches: int | None) -> bool:
    """Train in a child until it is done (true) or has begun `num_batches` (false: it was killed)."""
    ear, mouth = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ear)
        loaders = Telling(tiny_loader(), mouth), tiny_loader(13, train=False)
        train(TinyNet(), tiny_task(), *loaders, SETTINGS, places(folder), seed=0, console=Console(quiet=True))
        os._exit(0)
    os.close(mouth)
    heard = 0
    while os.read(ear, 1):
        heard += 1
        if heard == num_batches:
            os.kill(child, signal.SIGKILL)
    os.close(ear)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return not os.WIFSIGNALED(status)


def main(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    assert attempt(folder / "whole", None)
    kills = 0
    while not attempt(folder / "killed", chance.randint(1, 5)):
        kills += 1
    for name in ("last", "best"):
        one, two = (
            read_tensors(folder / n / f"checkpoints/{name}.safetensors")[0] for n in ("whole", "killed")
        )
        assert all(torch.equal(one[k], two[k]) for k in one), name
    print(f"{kills} kills, same bits")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
