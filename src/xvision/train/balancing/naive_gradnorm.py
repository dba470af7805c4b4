"""Weights that make gradients equally large at once."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from xvision.train.balancing import balancing
from xvision.train.balancing.contract import mean_of
from xvision.train.balancing.running import RunningAverages


@balancing
def naive_gradnorm(
    tasks: Sequence[str],
    *,
    norm_factor: float = 1e-3,
    short_factor: float = 1e-3,
    long_factor: float = 1e-6,
) -> RunningAverages:
    """Naive grad-norm: weights in proportion to rate of learning over running gradient norm."""
    return NaiveGradNorm(tasks, norm_factor=norm_factor, short_factor=short_factor, long_factor=long_factor)


class NaiveGradNorm(RunningAverages):
    """w_t = mean(G) / G_t r_t, scaled; there is nothing to drift.

    Source: the original system's naive_grad_norm, which its own options cannot reach. G here is the norm of the
    unweighted loss's gradient: with the weight in it, as there, a weight would chase itself.
    """

    def _norm_to_average(self, norms: Tensor) -> Tensor:
        return norms

    def _new_weights(self, rate: Tensor, seen: Tensor) -> Tensor:
        return mean_of(self.norm, seen) / (self.norm + 1e-6) * rate
