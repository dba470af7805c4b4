"""Weights from the noise that each task is found to have."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xvision.config.messages import nearest
from xvision.train.balancing import balancing
from xvision.train.balancing.contract import Balancing


@balancing
def uncertainty(
    tasks: Sequence[str], *, regression: tuple[str, ...] = ("depth",), lr: float = 0.025
) -> Balancing:
    """Homoscedastic uncertainty (Kendall 2018): each task's log variance is learned with the network.

    `regression` names the tasks whose loss is an error of numbers; the others are classifications.
    """
    return Uncertainty(tasks, regression, lr)


class Uncertainty(Balancing):
    """exp(-s) L + s / 2 for a classification, (exp(-s) L + s) / 2 for a regression, s = log sigma^2.

    s starts at 0 and goes down the gradient of the scalar: it settles where exp(-s) L is 1/2, or 1.

    Source: Kendall et al., Multi-Task Learning Using Uncertainty to Weigh Losses, CVPR 2018, equations 7 and 10, with
    s as in section 4.2. They let the network's optimizer move s; here s has its own plain gradient descent with rate
    `lr`, on the mean loss of a step, so that no weight decay pulls at it and all processes agree. Its gradient is cut
    at 1: a loss of 400 would else throw s so far in one step that it takes hundreds to come back. `weights` is what
    multiplies the losses; they need not add up to the number of tasks.
    """

    log_variance: Tensor
    slope: Tensor

    def __init__(self, tasks: Sequence[str], regression: Sequence[str], lr: float) -> None:
        super().__init__(tasks)
        problems = [
            f"train.balancing.regression: no task is called '{name}'; {nearest(name, tasks)}"
            for name in regression
            if name not in tasks and tuple(regression) != ("depth",)
        ]
        if lr <= 0:
            problems.append(f"train.balancing.lr: expected a value > 0, got {lr}")
        if problems:
            raise ValueError("; ".join(problems))
        self.lr = lr
        self._keep("log_variance", 0.0)
        self._keep("slope", 1.0, persistent=False)  # of exp(-s) L: 1, or 1/2 for a regression
        self.slope[[name in regression for name in tasks]] = 0.5
        self.weights.copy_(self.slope)

    def _total(self, present: list[int], values: Tensor, shared: Sequence[Tensor]) -> Tensor:
        offsets = self.log_variance[present].sum() / 2
        return super()._total(present, values, shared) + offsets.to(values.dtype)

    def _move(self, losses: Tensor, norms: Tensor, seen: Tensor) -> None:
        gradient = (0.5 - self.weights * losses).clamp(-1, 1)
        self.log_variance -= torch.where(seen, self.lr * gradient, 0)
        self.weights.copy_(self.slope * torch.exp(-self.log_variance))
