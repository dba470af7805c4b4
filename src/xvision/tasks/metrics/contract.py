"""What every metric of a task does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

Outputs = Mapping[str, Tensor]
Batch = Mapping[str, Any]


class TaskMetric(nn.Module, ABC):
    """Counts over a whole split, every sample once; a thin shell around torchmetrics.

    A module, so that `.to(device)` moves the counts; torchmetrics adds them up over processes in `compute`.
    """

    @abstractmethod
    def update(self, out: Outputs, batch: Batch) -> None:
        """Count one batch of raw outputs against its labels."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The scalar metrics, in percent where they are shares; NaN where nothing was counted."""

    def confusions(self) -> dict[str, list[list[int]]]:
        """Label field to its confusion matrix (rows: label, columns: prediction)."""
        return {}
