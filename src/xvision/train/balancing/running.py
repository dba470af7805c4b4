"""Weights from running averages of losses and gradient norms: what the original system's variants share.

They differ in how a task's rate of learning r = short / long average of its loss becomes a weight.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from xvision.train.balancing.contract import Balancing


class RunningAverages(Balancing):
    """Running averages of each task's gradient norm on the last shared layer and, short and long, of its loss.

    The first value seen starts each average. The defaults of the factors are the original system's: norm and short
    1e-3, long 1e-6.

    Cost: per task one backward pass through its decoder.
    Source: the original system. Different here: norms are of a loss's gradient on the parameters of the last shared
    layer, times the task's weight (there: of the total loss on the copy of the encoder's output that the task's decoder
    reads); weights add up to the number of tasks (there: always to 3) and are at least a millionth; they move after
    each optimizer step (there: at each backward pass).
    """

    scope = "last"
    norm: Tensor
    short: Tensor
    long: Tensor

    def __init__(
        self, tasks: Sequence[str], *, norm_factor: float, short_factor: float, long_factor: float
    ) -> None:
        super().__init__(tasks)
        problems = [
            f"train.balancing.{name}: expected 0 < value <= 1, got {value}"
            for name, value in (
                ("norm_factor", norm_factor),
                ("short_factor", short_factor),
                ("long_factor", long_factor),
            )
            if not 0 < value <= 1
        ]
        if problems:
            raise ValueError("; ".join(problems))
        self.factors = {"norm": norm_factor, "short": short_factor, "long": long_factor}
        for name in self.factors:
            self._keep(name, float("nan"))

    def _total(self, present: list[int], values: Tensor, shared: Sequence[Tensor]) -> Tensor:
        self._observe_gradients(present, values, shared)
        return super()._total(present, values, shared)

    def _move(self, losses: Tensor, norms: Tensor, seen: Tensor) -> None:
        for name, new in (("norm", self._norm_to_average(norms)), ("short", losses), ("long", losses)):
            average: Tensor = getattr(self, name)
            moved = torch.where(average.isnan(), new, average + self.factors[name] * (new - average))
            average.copy_(torch.where(seen, moved, average))
        self._set_weights(
            self._new_weights(self.short / self.long.clamp(min=1e-12), seen).clamp(min=1e-6), seen
        )

    def _norm_to_average(self, norms: Tensor) -> Tensor:
        return self.weights * norms

    @abstractmethod
    def _new_weights(self, rate: Tensor, seen: Tensor) -> Tensor:
        """Weights (T,) from the rates short / long; entries of tasks not seen do not matter."""
