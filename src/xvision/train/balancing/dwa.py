"""Weights from how fast each task's loss falls."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xvision.train.balancing import balancing
from xvision.train.balancing.contract import Balancing


@balancing
def dwa(tasks: Sequence[str], *, temperature: float = 2.0) -> Balancing:
    """Dynamic weight average (Liu 2019): more weight for tasks whose loss fell less over the last two epochs."""
    return DynamicWeightAverage(tasks, temperature)


class DynamicWeightAverage(Balancing):
    """w_k = K softmax_k(L_k(t-1) / L_k(t-2) / temperature), L(t) the mean loss of epoch t; 1 in the first two epochs.

    Source: Liu et al., End-to-End Multi-Task Learning with Attention, CVPR 2019, equation 7 (temperature 2). The
    original system's dwa takes running averages at every step in place of epochs, and temperature 1.
    """

    epoch_sum: Tensor
    epoch_steps: Tensor
    before: Tensor

    def __init__(self, tasks: Sequence[str], temperature: float) -> None:
        super().__init__(tasks)
        if temperature <= 0:
            raise ValueError(f"train.balancing.temperature: expected a value > 0, got {temperature}")
        self.temperature = temperature
        self._keep("epoch_sum", 0.0)
        self._keep("epoch_steps", 0.0)
        self._keep("before", float("nan"))

    def _move(self, losses: Tensor, norms: Tensor, seen: Tensor) -> None:
        self.epoch_sum += torch.where(seen, losses, 0)
        self.epoch_steps += seen

    @torch.no_grad()
    def end_epoch(self) -> None:
        mean = self.epoch_sum / self.epoch_steps  # NaN for a task that the epoch did not see
        ratio = mean / self.before
        known = ratio.isfinite()
        weights = torch.where(known, ratio / self.temperature, -torch.inf).softmax(0)
        if known.any():
            self._set_weights(weights, known)
        self.before.copy_(torch.where(mean.isnan(), self.before, mean))
        self.epoch_sum.zero_()
        self.epoch_steps.zero_()
