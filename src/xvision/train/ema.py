"""A moving average of the weights: a second copy of the model that is validated and saved as best."""

from __future__ import annotations

from timm.utils import ModelEmaV3
from torch import nn


class Ema(ModelEmaV3):  # type: ignore[misc]
    """Exponential moving average of parameters and buffers (BatchNorm's statistics included), in `module`.

    The decay grows as (1 + step) / (10 + step) up to `decay`, so that short trainings do not remember their
    random start; timm's own warm-up begins with a decay of 0 and grows by a power law.
    Source: TensorFlow's ExponentialMovingAverage, argument num_updates.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model, decay)
        self.requires_grad_(False)

    def get_decay(self, step: int) -> float:
        """Of optimizer step number `step` (the first is 1)."""
        return min(float(self.decay), (1 + step) / (10 + step))
