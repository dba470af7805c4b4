"""What the machine at hand offers: cores, compute threads, loader processes, number formats."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from xvision.train.errors import TrainingError

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator
    from torch import nn

CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def num_cores(local_world: int = 1) -> int:
    """Cores this process may use: its affinity, a container's quota, and its share among local processes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if CGROUP_LIMIT.exists():  # "150000 100000": 1.5 cores; "max 100000": no limit
        quota, period = CGROUP_LIMIT.read_text().split()
        if quota != "max":
            cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(1, cores // local_world)


def num_threads(setting: int, local_world: int = 1) -> int:
    """Compute threads: the setting, or with 0 what OMP_NUM_THREADS says, or every core."""
    return setting or int(os.environ.get("OMP_NUM_THREADS", "0")) or num_cores(local_world)


def use_threads(setting: int, local_world: int = 1) -> None:
    """Compute with `num_threads` from here on; beside an accelerator torch keeps its own number."""
    import torch

    if not torch.accelerator.is_available():
        torch.set_num_threads(num_threads(setting, local_world))


def num_workers(setting: int | Literal["auto"], local_world: int = 1) -> int:
    """Loader processes of each of `local_world` processes: the setting, or as many as keep the network fed.

    A GPU waits for samples, so it gets a worker per core (at most 8, one core stays for the loop). On the CPU
    the network itself is the bottleneck: one overlaps decoding with it, more give nothing (`benchmarks/end_to_end.py`).
    """
    import torch

    if setting != "auto":
        return setting
    cores = num_cores(local_world)
    if torch.accelerator.is_available():
        return min(8, cores - 1)
    return 1 if cores > 1 else 0


def pins_memory() -> bool:
    """Whether batches wait in page-locked memory, without which a copy to the accelerator holds up the CPU."""
    import torch

    device = torch.accelerator.current_accelerator(check_available=True)
    return device is not None and device.type != "mps"  # torch cannot pin for MPS, whose memory is the CPU's


def make_accelerator(precision: str) -> Accelerator:
    """accelerate's view of this process, on the device at hand.

    Raises: TrainingError when the device does not have the precision.
    """
    import torch
    from accelerate import Accelerator, DistributedDataParallelKwargs, PartialState
    from accelerate.state import AcceleratorState

    # accelerate keeps one precision per process; a second training in it may want another
    AcceleratorState._reset_state()
    cpu = not torch.accelerator.is_available()  # must be said: accelerate joins CPU processes only then
    exchange = DistributedDataParallelKwargs(
        gradient_as_bucket_view=True
    )  # summed where they lie: a copy less
    return Accelerator(
        cpu=cpu,
        mixed_precision=mixed_precision(precision, PartialState(cpu=cpu).device),
        kwargs_handlers=[exchange],
    )


def mixed_precision(setting: str, device: torch.device) -> Literal["no", "bf16", "fp16"]:
    """The 16-bit format of the forward pass, in the words of accelerate ("no": 32 bits).

    auto is bf16 on GPUs that compute it natively and 32 bits elsewhere: on a CPU without AMX or AVX512-BF16,
    bf16 is 1.3 to 1.8 times slower than fp32 (measured).
    """
    import torch

    if setting == "fp16" and device.type == "cpu":
        raise TrainingError("train.precision: fp16 needs a GPU, the device is the CPU; use fp32 (or bf16)")
    if setting == "auto":
        native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16" if native else "no"
    if setting == "bf16":
        return "bf16"
    return "fp16" if setting == "fp16" else "no"


@contextlib.contextmanager
def on_accelerator(model: nn.Module) -> Iterator[None]:
    """Keep a network on the accelerator meanwhile, if there is one; integer arithmetic is simulated on the CPU."""
    import torch

    device = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if device is not None:
        model.to(device)
    try:
        yield
    finally:
        model.to("cpu")
