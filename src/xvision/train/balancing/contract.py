"""What a balancing method is: it turns named task losses into one scalar to backpropagate, and learns weights.

::

    balance = balancing.part("gradnorm").build(("segmentation", "depth"))
    shared = ...                               # parameters, by balance.scope
    for batches in steps:
        for batch in batches:                  # gradient accumulation
            total = balance.combine(losses_of(batch), shared)
            (total / len(batches)).backward()  # or the accelerator's, with its loss scale and its all-reduce
        optimizer.step()
        balance.step()
    balance.end_epoch()

Everything a method does to gradients is in that scalar, so mixed precision, gradient accumulation and several processes
need no special case. All state is in buffers in double precision: `state_dict` at the end of a step is complete, and a
training that resumes from it is the same bit for bit. Observations of a step are averaged over its batches and over all
processes before the state moves, so every process has the same weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from xvision.train.balancing.gradients import mean_over_processes, task_gradients

Scope = Literal["none", "last", "all"]


class Balancing(nn.Module):
    """Weights of tasks; this one keeps them at 1. Subclasses override `_move` (how they move after a step) or `_total`.

    A task without labels in a batch is left out of `losses`; a loss of 0 would count as solved. Weights of tasks that
    a whole step did not see stay. Methods that learn weights keep their sum at the number of tasks, but for
    uncertainty. The module must be on the device of the losses.
    """

    scope: ClassVar[Scope] = "none"
    """The parameters that `combine` wants: none, those of the last shared layer, or all shared ones."""
    watches = True
    """Whether weights follow from the losses and gradients of each step."""

    weights: Tensor
    _loss_sums: Tensor
    _counts: Tensor

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        assert tasks, "no tasks"
        assert len(set(tasks)) == len(tasks), tasks
        self.tasks = tuple(tasks)
        self._keep("weights", 1.0)
        self._keep("_loss_sums", 0.0, persistent=False)
        self._keep("_counts", 0.0, persistent=False)
        self._gradient_sums: Tensor | None = None

    def _keep(self, name: str, value: float, *, persistent: bool = True) -> None:
        """A buffer with one number per task."""
        numbers = torch.full((len(self.tasks),), value, dtype=torch.float64)
        self.register_buffer(name, numbers, persistent=persistent)

    def combine(self, losses: Mapping[str, Tensor], shared: Sequence[Tensor] = ()) -> Tensor:
        """The scalar to backpropagate for one batch.

        `losses` are scalars of a live graph, for all tasks, some or none: a process without a label in its batch
        still takes part in what the processes exchange. `shared` are the parameters that `scope` asks for.
        """
        assert set(losses) <= set(self.tasks), (set(losses) - set(self.tasks), self.tasks)
        assert shared or self.scope == "none", f"{type(self).__name__} wants parameters: {self.scope}"
        present = [i for i, name in enumerate(self.tasks) if name in losses]
        values = (
            torch.stack([losses[self.tasks[i]] for i in present])
            if present
            else torch.zeros(0, device=self.weights.device)
        )
        if self.watches:
            self._observe_losses(present, values.detach())
        return self._total(present, values, shared)

    def _observe_losses(self, present: list[int], values: Tensor) -> None:
        """Add the losses of the present tasks to those of this step."""
        if len(present) == len(self.tasks):  # no index to send to the device
            self._loss_sums += values
            self._counts += 1
        else:
            self._loss_sums[present] += values.double()
            self._counts[present] += 1

    def _total(self, present: list[int], values: Tensor, shared: Sequence[Tensor]) -> Tensor:
        weights = self.weights if len(present) == len(self.tasks) else self.weights[present]
        return (weights.to(values.dtype) * values).sum()

    def _observe_gradients(self, present: list[int], values: Tensor, shared: Sequence[Tensor]) -> None:
        """Add the gradients of the present tasks to those of this step."""
        gradients = task_gradients(values, shared)
        if self._gradient_sums is None:
            self._gradient_sums = gradients.new_zeros(len(self.tasks), gradients.shape[1])
        self._gradient_sums[present] += gradients

    @torch.no_grad()
    def step(self) -> None:
        """Move the weights, once after each optimizer step."""
        if not self.watches:
            return
        counts = mean_over_processes(self._counts)
        seen, n = counts > 0, counts.clamp(min=1e-12)
        losses = mean_over_processes(self._loss_sums) / n
        norms = torch.zeros_like(losses)
        if self._gradient_sums is not None:
            norms = mean_over_processes(self._gradient_sums).norm(dim=1).double() / n
        self._move(losses, norms, seen)
        self._loss_sums.zero_()
        self._counts.zero_()
        self._gradient_sums = None

    def _move(self, losses: Tensor, norms: Tensor, seen: Tensor) -> None:
        """New state after a step. All (T,): mean losses, norms of mean gradients (0 if not observed), tasks seen."""

    def end_epoch(self) -> None:
        """What happens after each epoch; nothing for most methods."""

    def _set_weights(self, weights: Tensor, seen: Tensor) -> None:
        """Take new weights for the tasks seen, scaled so that the sum over all stays."""
        weights = torch.where(seen, weights, 0)
        scale = (self.weights * seen).sum() / weights.sum().clamp(min=1e-12)
        self.weights.copy_(torch.where(seen, weights * scale, self.weights))


def mean_of(values: Tensor, seen: Tensor) -> Tensor:
    """Mean over the tasks seen.

    >>> mean_of(torch.tensor([1.0, 5.0, 3.0]), torch.tensor([True, False, True]))
    tensor(2.)
    """
    return torch.where(seen, values, 0).sum() / seen.sum().clamp(min=1)
