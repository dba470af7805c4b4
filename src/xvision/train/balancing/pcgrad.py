"""Gradients that do not work against each other."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xvision.train.balancing import balancing
from xvision.train.balancing.contract import Balancing
from xvision.train.balancing.gradients import mean_over_processes, task_gradients


@balancing
def pcgrad(tasks: Sequence[str]) -> Balancing:
    """Gradient surgery (Yu 2020): each task's gradient loses what opposes another task's."""
    return PcGrad(tasks)


class PcGrad(Balancing):
    """From each task's gradient g, for each other g_j in random order, take the part along g_j if g . g_j < 0.

    All of this stays in the span of the task gradients, so their products alone decide it: the sum of the projected
    gradients is sum_j c_j g_j. The shared parameters get that, decoders their ordinary gradient: the scalar is the sum
    of the losses plus a term of value 0 that is linear in the shared parameters and has the missing gradient.

    Cost: one more backward pass per task, through decoder and encoder, and the memory of one gradient per task.
    Source: Yu et al., Gradient Surgery for Multi-Task Learning, NeurIPS 2020, algorithm 1. With gradient accumulation
    the surgery is on each batch's gradients, not on their sum. The order follows from the number of surgeries so far,
    so every process has the same one.
    """

    scope = "all"
    surgeries: Tensor

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__(tasks)
        self.register_buffer("surgeries", torch.zeros((), dtype=torch.int64))

    def _total(self, present: list[int], values: Tensor, shared: Sequence[Tensor]) -> Tensor:
        own = task_gradients(values, shared)
        gradients = own.new_zeros(
            len(self.tasks), own.shape[1]
        )  # all tasks: another process may see more of them
        gradients[present] = own
        gradients = mean_over_processes(gradients)
        order = torch.Generator().manual_seed(
            int(self.surgeries)
        )  # waits for the device, after T backward passes
        self.surgeries += 1
        missing = (surgery((gradients @ gradients.T).double(), order) - 1).to(gradients.dtype) @ gradients
        total = values.sum()
        for parameter, part in zip(shared, torch.split(missing, [p.numel() for p in shared]), strict=True):
            total = total + ((parameter - parameter.detach()) * part.view_as(parameter)).sum()
        return total


def surgery(products: Tensor, order: torch.Generator | None = None) -> Tensor:
    """Factors c (T,) of the task gradients in the sum of the projected ones, from their products (T, T).

    `order` is what the order of projections is drawn from, by default PyTorch's own generator.

    >>> surgery(torch.tensor([[1.0, -1.0], [-1.0, 2.0]]))  # g1 = (1, 0), g2 = (-1, 1): together (0.5, 1.5)
    tensor([2.0000, 1.5000])
    """
    num_tasks = len(products)
    factors = torch.eye(num_tasks, dtype=products.dtype, device=products.device)  # row i: projected g_i
    for i in range(num_tasks):
        for j in torch.randperm(num_tasks, generator=order).tolist():
            if j != i:
                dot = factors[i] @ products[:, j]
                factors[i, j] -= torch.where(dot < 0, dot / products[j, j].clamp(min=1e-30), 0)
    return factors.sum(0)
