"""What a run would give a method, of a network that trains in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from tests.train.tiny import TinyNet, tiny_loader, tiny_task
from xvision.config.parts import Part
from xvision.quant.context import Context
from xvision.quant.schemes import scheme
from xvision.train.processes import Processes
from xvision.train.settings import Train


def tiny_context(
    folder: Path, processes: Processes | None = None, chosen: Part | None = None, **train: object
) -> Context:
    rank, world = (0, 1) if processes is None else (processes.rank, processes.world)
    network = TinyNet()

    def calibration() -> Iterator[tuple[Tensor, ...]]:
        return (network.inputs.encode(batch) for batch in tiny_loader(train=False).epoch(0))

    with torch.no_grad():
        network(*next(calibration()))  # batch norm sees images, as in a training
    network.eval()
    return Context(
        network,
        (scheme.pow2() if chosen is None else chosen).build(),
        calibration,
        task=tiny_task(),
        train_loader=lambda size: tiny_loader(batch_size=size or 8 // world, rank=rank, world=world),
        val_loader=lambda: tiny_loader(13, train=False, rank=rank, world=world),
        train=Train(**{"batch_size": 8 // world, "threads": 1, "log_every": 1, **train}),
        judging=lambda num_calibration: tiny_loader(20, train=False),
        num_train=80,
        folder=folder,
        processes=processes or Processes(),
    )
