"""What a task is: which fields it learns from, its outputs, loss, metric and pictures.

The engine knows nothing of any task. It builds heads from `outputs`, adds up the terms of `loss`, feeds `metric`, and
asks `decode`, `caption` and `draw` for what people read and see.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from xvision.data.dataset import Split
from xvision.fields import FIELDS
from xvision.tasks.visualize import Colour, Image

Outputs = Mapping[str, Tensor]
Batch = Mapping[str, Any]
Size = tuple[int, int]


@dataclass(frozen=True)
class Prediction:
    """What was found in one image, or what its labels say."""

    values: dict[str, Any]
    """Ready for JSON."""
    maps: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    """Field to its values (H, W), as large as the image."""


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

    def confusions(self) -> dict[str, list[list[int]]]:
        """Label field to its confusion matrix (rows: label, columns: prediction)."""
        return {}


class Task(ABC):
    """One task; `MultiTask` is several in one network."""

    name: str
    needs: tuple[str, ...]
    """Label fields of a sample that the loss and the metric read."""
    outputs: Mapping[str, int]
    """Raw outputs of the network and their channels; each is called like the label that it is compared with."""
    classes: Mapping[str, tuple[str, ...]]
    """Label fields that are classes, and the names of those in the order of their ids."""
    terms: tuple[str, ...]
    """The names that `loss` returns."""
    primary: str
    """The metric by which checkpoints are compared."""
    larger_is_better: bool = True
    class_maps: tuple[str, ...] = ()
    """Outputs that score classes per pixel. A file may give ids for them, which `metric` and `decode` then take too."""

    @property
    def parts(self) -> tuple[Task, ...]:
        """The tasks that this one is made of: itself."""
        return (self,)

    @property
    def owners(self) -> dict[str, str]:
        """The name of the part that each output belongs to."""
        return {output: part.name for part in self.parts for output in part.outputs}

    @property
    def needs_of_parts(self) -> dict[str, tuple[str, ...]]:
        """The labels that each of `parts` needs, by its name."""
        return {part.name: part.needs for part in self.parts}

    @property
    def maps(self) -> tuple[str, ...]:
        """The labels that are maps: with any, validation sees whole images and measures at the labels' resolution."""
        return tuple(name for name in self.needs if FIELDS[name].dims.startswith("HW"))

    def improves(self, value: float, best: float) -> bool:
        """Whether a value of `primary` is better than the best so far (NaN: there is none)."""
        return best != best or (value > best if self.larger_is_better else value < best)

    def advice(self, inputs: Sequence[str]) -> list[str]:
        """What a user should know before this task is learned from a network's inputs; nothing for most."""
        return []

    def prepare(self, train: Split) -> str:
        """Learn what the loss has to know of the training samples, such as how often each class occurs.

        Called before training, in every process, and never for validation or inference. A line for people, or nothing.
        """
        return ""

    @abstractmethod
    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Named scalar terms, to be added up."""

    def losses(self, out: Outputs, batch: Batch) -> dict[str, dict[str, Tensor]]:
        """The terms of each of `parts` that has labels in this batch, by its name."""
        return {self.name: self.loss(out, batch)}

    @abstractmethod
    def metric(self) -> TaskMetric: ...

    @abstractmethod
    def decode(self, out: Outputs, sizes: Sequence[Size]) -> list[Prediction]:
        """What was found in each image of a batch; maps are brought to `sizes`, height and width of each."""

    @abstractmethod
    def ground_truth(self, batch: Batch) -> list[Prediction]:
        """What the labels of a batch say, in the form of `decode`."""

    @abstractmethod
    def caption(self, found: Prediction) -> str:
        """What was found in a few words."""

    @abstractmethod
    def draw(self, image: Image, found: Prediction, label: Prediction | None = None) -> Image:
        """The RGB image (H, W, 3) with what was found drawn on it (and what the label says)."""

    @property
    def legend(self) -> Mapping[str, Colour]:
        """What the colours of a picture without labels mean, where it does not say so itself."""
        return {}

    def is_right(self, found: Prediction, label: Prediction) -> bool | None:
        """Whether an answer is the label; None where there is no right or wrong, as for maps."""
        return None

    def files(self, found: Prediction) -> dict[str, np.ndarray[Any, Any]]:
        """Images to write beside the picture, by what their names end with; as OpenCV takes them."""
        return {}

    @property
    def file_endings(self) -> tuple[str, ...]:
        """The keys of `files` from which `read` makes outputs; empty if the task's answers are no maps."""
        return ()

    def read(self, files: Mapping[str, Path]) -> Outputs:
        """Outputs (1, C, H, W) as `metric` takes them, from image files of `file_endings`: the inverse of `files`.

        Raises: DataError that names a file which is not of this kind.
        """
        raise ValueError(f"{self.name}: answers are not written as images, so there is nothing to read")
