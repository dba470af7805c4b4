"""Weights that make all tasks learn at one rate."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xvision.train.balancing import balancing
from xvision.train.balancing.contract import Balancing, mean_of


@balancing
def gradnorm(tasks: Sequence[str], *, alpha: float = 1.5, lr: float = 0.025) -> Balancing:
    """GradNorm (Chen 2018): gradient norms are pulled to a common size, larger for tasks that lag behind."""
    return GradNorm(tasks, alpha, lr)


class GradNorm(Balancing):
    """Gradient descent of the weights w on sum_i |G_i - mean(G) r_i^alpha|, the right side constant.

    G_i is the norm of the gradient of w_i L_i on the last shared layer, r_i = (L_i / L_i(0)) / mean_j (L_j / L_j(0))
    the inverse rate of learning, L(0) the loss of the first step that has the task. After each step the weights are
    scaled so that their sum is the number of tasks.

    Cost: per task one backward pass through its decoder.
    Source: Chen et al., GradNorm, ICML 2018, equations 1 and 2, algorithm 1, with plain gradient descent. Weights are
    kept above about 0.001: the gradient of the absolute value does not stop them at 0.
    """

    scope = "last"
    initial: Tensor

    def __init__(self, tasks: Sequence[str], alpha: float, lr: float) -> None:
        super().__init__(tasks)
        problems = []
        if alpha < 0:
            problems.append(f"train.balancing.alpha: expected a value >= 0, got {alpha}")
        if lr <= 0:
            problems.append(f"train.balancing.lr: expected a value > 0, got {lr}")
        if problems:
            raise ValueError("; ".join(problems))
        self.alpha, self.lr = alpha, lr
        self._keep("initial", float("nan"))

    def _total(self, present: list[int], values: Tensor, shared: Sequence[Tensor]) -> Tensor:
        self._observe_gradients(present, values, shared)
        return super()._total(present, values, shared)

    def _move(self, losses: Tensor, norms: Tensor, seen: Tensor) -> None:
        self.initial.copy_(torch.where(self.initial.isnan() & seen, losses, self.initial))
        progress = (losses / self.initial.clamp(min=1e-12)).clamp(min=0)
        rate = progress / mean_of(progress, seen).clamp(min=1e-12)
        size = self.weights * norms
        target = mean_of(size, seen) * rate**self.alpha
        slope = torch.sign(size - target) * norms  # of |w g - target| on w
        weights = self.weights - self.lr * torch.where(seen, slope, 0)
        self._set_weights(weights.clamp(min=1e-3), seen)
