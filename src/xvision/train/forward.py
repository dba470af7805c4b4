"""The one place where a batch of samples meets a model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from xvision.models.inputs import Inputs
from xvision.train.errors import OutOfMemoryError

Batch = Mapping[str, Any]
Outputs = dict[str, Tensor]


def to_device(batch: Batch, device: torch.device) -> dict[str, Any]:
    """The tensors of a batch on `device`, without waiting for the copies; names stay names."""
    if device.type == "cpu":
        return dict(batch)

    def moved(value: Any) -> Any:
        if isinstance(value, list):  # maps of different sizes, or names
            return [moved(v) for v in value]
        return value.to(device, non_blocking=True) if isinstance(value, Tensor) else value

    return {key: moved(value) for key, value in batch.items()}


def forward(model: Callable[..., Mapping[str, Tensor]], batch: Batch, inputs: Inputs) -> Outputs:
    """Raw outputs in 32 bits of a model that takes `inputs`; class ids stay integers."""
    outputs = model(*inputs.encode(batch))
    return {name: out.float() if out.is_floating_point() else out for name, out in outputs.items()}


@contextlib.contextmanager
def explaining_memory(batch: Batch) -> Iterator[None]:
    """Turn a failed allocation into OutOfMemoryError, which says what to change."""
    try:
        yield
    except (RuntimeError, MemoryError) as e:
        if not _is_out_of_memory(e):
            raise
        shape = "x".join(map(str, batch["image"].shape))
        raise OutOfMemoryError(
            f"a batch of images {shape} (batch, channels, height, width) does not fit into the memory of the "
            f"{batch['image'].device.type} device ({' '.join(str(e).split())[:200]}); halve train.batch_size and "
            "double train.accumulate to train the same with less memory"
        ) from e


def _is_out_of_memory(e: Exception) -> bool:
    # on a CPU torch raises a plain RuntimeError: "can't allocate memory" on Linux, "not enough memory" elsewhere
    texts = ("can't allocate memory", "not enough memory")
    return isinstance(e, torch.OutOfMemoryError | MemoryError) or any(text in str(e) for text in texts)
