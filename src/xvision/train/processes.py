"""Several processes that train together, started by torchrun or `accelerate launch`."""

from __future__ import annotations

import atexit
import os
from functools import cache

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState

from xvision.train.hardware import mixed_precision


def init(precision: str) -> Accelerator:
    """The accelerator of this process, in the group that the environment describes.

    Raises TrainingError when the device does not have the precision.
    """
    # accelerate keeps one precision per process; a second training in it may want another
    AcceleratorState._reset_state()
    cpu = not torch.accelerator.is_available()  # must be said: accelerate joins CPU processes only then
    accelerator = Accelerator(
        cpu=cpu, mixed_precision=mixed_precision(precision, PartialState(cpu=cpu).device)
    )
    if accelerator.num_processes > 1:
        _shutdown_at_exit()
    return accelerator


def barrier() -> None:
    """Wait until every process of the group is here."""
    PartialState(cpu=not torch.accelerator.is_available()).wait_for_everyone()
    _shutdown_at_exit()


def shutdown() -> None:
    """End the group: from here on this process works alone, on whole data sets.

    Every process of the group calls it. What it changes is torch's process group and the environment (RANK,
    WORLD_SIZE …) that loaders and metrics look at.
    """
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        os.environ.pop(name, None)
    AcceleratorState._reset_state(reset_partial_state=True)


@cache
def _shutdown_at_exit() -> None:
    atexit.register(shutdown)  # gloo aborts a process that ends within its group
