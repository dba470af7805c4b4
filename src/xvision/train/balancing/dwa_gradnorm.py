"""Pseudo grad-norm with the softmax of dynamic weight averaging."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xvision.train.balancing import balancing
from xvision.train.balancing.pseudo_gradnorm import PseudoGradNorm
from xvision.train.balancing.running import RunningAverages


@balancing
def dwa_gradnorm(
    tasks: Sequence[str],
    *,
    alpha: float = 0.75,
    lr: float = 1e-4,
    norm_factor: float = 1e-3,
    short_factor: float = 1e-3,
    long_factor: float = 1e-6,
) -> RunningAverages:
    """Pseudo grad-norm whose shares are a softmax of the rates of learning."""
    return DwaGradNorm(
        tasks,
        alpha=alpha,
        lr=lr,
        norm_factor=norm_factor,
        short_factor=short_factor,
        long_factor=long_factor,
    )


class DwaGradNorm(PseudoGradNorm):
    """As `PseudoGradNorm` with R = softmax(r).

    Source: the original system's dwa_gradnorm, which its own option parser cannot reach: there it is constant weights.
    """

    def _shares(self, rate: Tensor, seen: Tensor) -> Tensor:
        return torch.where(seen, rate, -torch.inf).softmax(0)
