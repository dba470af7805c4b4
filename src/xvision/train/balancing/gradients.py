"""Gradients of each task on shared parameters, and how far they agree.

Cost: one backward pass per task, from its loss down to the parameters asked for and no further: for the last shared
layer that is the decoders alone, for a whole encoder as much as a step's backward pass per task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor


def task_gradients(losses: Sequence[Tensor] | Tensor, shared: Sequence[Tensor]) -> Tensor:
    """Gradients (T, P) of T losses on P shared parameter values; the graph stays alive.

    >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> task_gradients([w.sum(), (w**2).sum()], [w])
    tensor([[1., 1.],
            [2., 4.]])
    """
    rows = shared[0].detach().new_zeros(len(losses), sum(p.numel() for p in shared))
    for row, loss in zip(rows, losses, strict=True):
        found = torch.autograd.grad(loss, list(shared), retain_graph=True, allow_unused=True)
        flat = [
            torch.zeros_like(p).flatten() if g is None else g.flatten()
            for p, g in zip(shared, found, strict=True)
        ]
        row.copy_(torch.cat(flat))
    return rows


def task_affinity(losses: Mapping[str, Tensor], shared_parameters: Sequence[Tensor]) -> Tensor:
    """Cosines (T, T) of the angles between the gradients of tasks, in the order of `losses`.

    1: the tasks pull the shared parameters the same way; below 0: what helps one harms the other. NaN for a task
    that does not pull at all. Average it over batches: one batch's cosines are noisy.

    Source: Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020, definition 1.

    >>> w = torch.tensor([0.0, 0.0], requires_grad=True)
    >>> task_affinity({"a": w[0] + w[1], "b": -w[0] * 2}, [w])
    tensor([[ 1.0000, -0.7071],
            [-0.7071,  1.0000]])
    """
    gradients = task_gradients(list(losses.values()), shared_parameters)
    unit = gradients / gradients.norm(dim=1, keepdim=True)
    cosines: Tensor = (unit @ unit.T).clamp(-1, 1)
    return cosines


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of a tensor over all processes; itself if there is one process."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()
