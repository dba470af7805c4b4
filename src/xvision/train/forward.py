"""The one place where a batch of samples meets a model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from xvision.data.resources import explaining_resources
from xvision.models.inputs import Inputs

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


def explaining_memory(batch: Batch) -> contextlib.AbstractContextManager[None]:
    """Turn a failed allocation for a batch into ResourceError, which says what to change."""
    image: Tensor = batch["image"]
    shape = "x".join(map(str, image.shape))
    return explaining_resources(
        f"a batch of images {shape} (batch, channels, height, width) does not fit into the memory of the "
        f"{image.device.type} device",
        "halve train.batch_size and double train.accumulate to train the same with less memory",
    )
