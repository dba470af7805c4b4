"""Whether the tasks of one network help or hinder each other: the angles between their gradients on what they share."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xvision.train.balancing.gradients import task_affinity
from xvision.train.forward import forward, to_device

if TYPE_CHECKING:
    from xvision.data.loader import Loader
    from xvision.models.model import Model
    from xvision.tasks.contract import Task

NUM_BATCHES = 8


def affinity(model: Model, task: Task, loader: Loader, num_batches: int = NUM_BATCHES) -> dict[str, Any]:
    """Mean cosines between the gradients of each two tasks on the backbone's parameters, over some training batches.

    The network is as it is used: batch norms keep their averages. Ready for `xvision.runs.record.Affinity`.

    Source: Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020, definition 1.
    """
    names = [part.name for part in task.parts]
    sums, counts = torch.zeros(len(names), len(names)), torch.zeros(len(names), len(names))
    device = next(model.parameters()).device
    samples = 0
    for batch in islice(loader.epoch(0), num_batches):
        on_device = to_device(batch, device)
        losses = task.losses(forward(model, on_device, model.inputs), on_device)
        cosines = task_affinity(_totals(losses), model.shared_parameters("all")).cpu().float()
        index = torch.tensor([names.index(name) for name in losses])
        known = cosines.isfinite()
        sums[index[:, None], index] += torch.where(known, cosines, 0)
        counts[index[:, None], index] += known
        samples += len(batch["name"])
    rows = (sums / counts).tolist()
    cosines_or_none = [[None if value != value else round(value, 4) for value in row] for row in rows]
    return {"tasks": names, "cosines": cosines_or_none, "samples": samples}


def _totals(losses: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack(list(terms.values())).sum() for name, terms in losses.items()}
