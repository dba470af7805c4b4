"""The original system's own cheaper GradNorm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xvision.train.balancing import balancing
from xvision.train.balancing.contract import mean_of
from xvision.train.balancing.running import RunningAverages


@balancing
def pseudo_gradnorm(
    tasks: Sequence[str],
    *,
    alpha: float = 0.75,
    lr: float = 1e-4,
    norm_factor: float = 1e-3,
    short_factor: float = 1e-3,
    long_factor: float = 1e-6,
) -> RunningAverages:
    """Pseudo grad-norm: weights drift until running gradient norms reach a target from the rates of learning.

    The defaults are made for tens of thousands of steps; a short training needs larger ones.
    """
    return PseudoGradNorm(
        tasks,
        alpha=alpha,
        lr=lr,
        norm_factor=norm_factor,
        short_factor=short_factor,
        long_factor=long_factor,
    )


class PseudoGradNorm(RunningAverages):
    """w_t += lr w_t (target_t / G_t - 1), target_t = mean(G) R_t^alpha, R_t = r_t / sum(r); then scaled.

    Source: the original system's "gradient normalization" (pseudo_grad_norm, also "learned"); epsilon 1e-6 in the
    divisor as there. See `RunningAverages` for G and r and what we do differently.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        *,
        alpha: float,
        lr: float,
        norm_factor: float,
        short_factor: float,
        long_factor: float,
    ) -> None:
        super().__init__(tasks, norm_factor=norm_factor, short_factor=short_factor, long_factor=long_factor)
        problems = []
        if alpha < 0:
            problems.append(f"train.balancing.alpha: expected a value >= 0, got {alpha}")
        if not 0 < lr <= 1:
            problems.append(f"train.balancing.lr: expected 0 < value <= 1, got {lr}")
        if problems:
            raise ValueError("; ".join(problems))
        self.alpha, self.lr = alpha, lr

    def _new_weights(self, rate: Tensor, seen: Tensor) -> Tensor:
        target = mean_of(self.norm, seen) * self._shares(rate, seen) ** self.alpha
        return self.weights * (1 + self.lr * (target / (self.norm + 1e-6) - 1))

    def _shares(self, rate: Tensor, seen: Tensor) -> Tensor:
        """The rates as shares that add up to 1 over the tasks seen."""
        return rate / torch.where(seen, rate, 0).sum()
