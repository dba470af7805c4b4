"""Named sums over a split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric


class Sums(Metric):
    """Adds up named scalars in double precision, over batches and over processes.

    >>> sums = Sums(["error", "pixels"])
    >>> sums.update({"error": torch.tensor(3.0), "pixels": torch.tensor(2)})
    >>> sums.compute()
    {'error': 3.0, 'pixels': 2.0}
    """

    full_state_update = False
    totals: Tensor

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self.add_state("totals", torch.zeros(len(names), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, values: Mapping[str, Tensor]) -> None:
        """Add one value per name."""
        assert set(values) == set(self.names), (set(values) ^ set(self.names), self.names)
        self.totals += torch.stack([values[name].double() for name in self.names])

    def compute(self) -> dict[str, float]:
        return dict(zip(self.names, self.totals.tolist(), strict=True))


def ratio(total: float, count: float) -> float:
    """`total / count`, NaN if nothing was counted.

    >>> ratio(3, 2), ratio(0, 0)
    (1.5, nan)
    """
    return total / count if count else float("nan")
