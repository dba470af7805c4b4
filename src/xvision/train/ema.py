"""A moving average of the weights: a second copy of the model that is validated and saved as best."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Ema:
    """Exponential moving average of parameters and buffers (BatchNorm's statistics included).

    The decay grows as (1 + step) / (10 + step) up to `decay`, so that short trainings do not remember their
    random start. Source: TensorFlow's ExponentialMovingAverage, argument num_updates.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.model = copy.deepcopy(model).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Move towards `model` after optimizer step number `step` (the first is 1)."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        ours, theirs = self.model.state_dict(), model.state_dict()
        floats = [k for k, v in ours.items() if v.is_floating_point()]
        torch._foreach_lerp_([ours[k] for k in floats], [theirs[k] for k in floats], weight)
        for k in ours.keys() - floats:  # counters
            ours[k].copy_(theirs[k])
