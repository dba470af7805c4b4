"""Several processes that work together, started by torchrun or `accelerate launch`, as a value that is passed down."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING

from xvision.train.errors import PeerError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from xvision.console import Console

_GONE = ("gloo", "NCCL", "Connection closed by peer", "Connection reset by peer", "process group", "TCPStore")
"""What torch's errors say when another process does not answer; gloo has no class for them."""
PATIENCE = timedelta(days=2)
"""How long processes wait for the first one, which does some stages alone; a killed one is noticed at once."""


@dataclass(frozen=True)
class Processes:
    """This process among those that work together; by default it is alone.

    The first one writes and prints. A process that is alone never waits for others, also within a group.
    """

    rank: int = 0
    world: int = 1
    local_world: int = 1
    """How many of them share this machine's cores."""

    def __post_init__(self) -> None:
        if not (0 <= self.rank < self.world and 1 <= self.local_world <= self.world):
            raise ValueError(
                f"processes: expected 0 <= RANK < WORLD_SIZE and 1 <= LOCAL_WORLD_SIZE <= WORLD_SIZE, got {self}; "
                "start them with torchrun"
            )

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def barrier(self) -> None:
        """Wait until every process is here. Raises: PeerError if one of them has ended."""
        if self.world > 1:
            from accelerate import PartialState

            with self.explaining_peers():
                PartialState().wait_for_everyone()

    @contextlib.contextmanager
    def explaining_peers(self) -> Iterator[None]:
        """Turn what torch raises when another process has ended into PeerError."""
        try:
            yield
        except RuntimeError as e:
            if self.world == 1 or not any(text in str(e) for text in _GONE):
                raise
            said = re.sub(r"\[\S+:\d+\] *", "", str(e)).partition(". ")[0]  # without torch's own places
            raise PeerError(
                f"another of the {self.world} processes has ended ({said[:160]}); see what it "
                "said (killed without a word: perhaps for memory), and run the same command again"
            ) from e


def init() -> Processes:
    """The processes that the environment describes (RANK, WORLD_SIZE, LOCAL_WORLD_SIZE); several are a group from here.

    Raises: ValueError for an environment that describes none, PeerError if the others do not appear.
    """
    names = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": 1}
    try:
        rank, world, local_world = (int(os.environ.get(name, alone)) for name, alone in names.items())
        found = Processes(rank, world, local_world)
    except ValueError as e:
        raise ValueError(f"{', '.join(names)}: {e}") from e
    if found.world > 1:
        with found.explaining_peers():
            _join()
    return found


def _join() -> None:
    import torch
    from accelerate import PartialState

    cpu = not torch.accelerator.is_available()  # must be said: accelerate joins CPU processes only then
    PartialState(cpu=cpu, timeout=PATIENCE)
    _leave_at_exit()


@cache
def _leave_at_exit() -> None:
    atexit.register(_leave)  # gloo aborts a process that ends within its group


def _leave() -> None:
    import torch

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def synchronized(model: nn.Module, device: torch.device, processes: Processes, console: Console) -> nn.Module:
    """A network whose BatchNorm sees the samples of all processes, where the backend can."""
    from torch import nn

    has_norm = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())
    if processes.world == 1 or not has_norm:
        return model
    if device.type == "cpu":
        console.warn("BatchNorm sees the samples of its own process only: not synchronized on CPUs")
        return model
    from timm.layers import convert_sync_batchnorm  # unlike torch's it keeps a BatchNormAct2d's activation

    return convert_sync_batchnorm(model)  # type: ignore[no-any-return]


def share_buffers(model: nn.Module, processes: Processes) -> None:
    """Give every process the buffers of the first: averages of a BatchNorm are of the samples that a process saw."""
    if processes.world > 1:
        import torch

        for buffer in model.buffers():
            torch.distributed.broadcast(buffer, 0)
