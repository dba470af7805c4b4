"""What a task is: which fields it reads and learns from, its outputs, loss, metric and pictures.

The engine knows nothing of any task. It builds heads from `outputs`, adds up the terms of `loss`, feeds `metric`, and
asks `describe` and `draw` for what people read and see.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn

Outputs = Mapping[str, Tensor]
Batch = Mapping[str, Any]
Image = np.ndarray[Any, np.dtype[np.uint8]]


class TaskMetric(nn.Module, ABC):
    """Counts over a whole split, every sample once; a thin shell around torchmetrics.

    A module, so that `.to(device)` moves the counts; torchmetrics adds them up over processes in `compute`.
    """

    @abstractmethod
    def update(self, out: Outputs, batch: Batch) -> None:
        """Count one batch of raw outputs against its labels."""

    @abstractmethod
    def compute(self) -> dict[str, float]:
        """The scalar metrics, in percent where they are shares."""

    def tables(self) -> dict[str, list[list[int]]]:
        """Larger counts for the report, such as a confusion matrix (rows: label, columns: prediction)."""
        return {}


class Task(ABC):
    """One task; `MultiTask` composes several."""

    name: str
    inputs: tuple[str, ...] = ("image",)
    needs: tuple[str, ...]
    """Label fields of a sample that the loss and the metric read."""
    outputs: Mapping[str, int]
    """Raw outputs of the network and their channels."""
    classes: tuple[str, ...]
    primary: str
    """The metric by which checkpoints are compared; higher is better."""

    @abstractmethod
    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Named scalar terms, to be added up."""

    @abstractmethod
    def metric(self) -> TaskMetric: ...

    @abstractmethod
    def describe(self, out: Outputs) -> list[dict[str, Any]]:
        """What was found in each image of a batch, ready for JSON."""

    @abstractmethod
    def draw(self, image: Image, found: Mapping[str, Any], label: str | None = None) -> Image:
        """The RGB image (H, W, 3) with what was found drawn on it (and what the label says)."""
