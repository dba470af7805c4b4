"""What people read and see of a task, and the files in which its predictions are kept."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xvision.tasks.metrics.contract import Outputs
from xvision.tasks.visualize import Colour, Image


@dataclass(frozen=True)
class Prediction:
    """What a network finds in one image, or what its labels say."""

    values: dict[str, Any]
    """Ready for JSON."""
    maps: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    """Name to values (H, W), as large as the image."""
    parts: dict[str, Prediction] = field(default_factory=dict)
    """Of several tasks: what each found, by its name."""


class View(ABC):
    """Captions, pictures and files of one task's predictions."""

    @abstractmethod
    def caption(self, prediction: Prediction) -> str:
        """The prediction in a few words."""

    @abstractmethod
    def draw(self, image: Image, prediction: Prediction, ground_truth: Prediction | None = None) -> Image:
        """The RGB image (H, W, 3) with the prediction drawn on it (and the ground truth, where it is known)."""

    @property
    def legend(self) -> Mapping[str, Colour]:
        """What the colours of a picture without labels mean, where it does not say so itself."""
        return {}

    def is_right(self, prediction: Prediction, ground_truth: Prediction) -> bool | None:
        """Whether a prediction is the ground truth; None where there is no right or wrong, as for maps."""
        return None

    def files(self, prediction: Prediction) -> dict[str, np.ndarray[Any, Any]]:
        """Images to write beside the picture, by what their names end with: RGB, or values (H, W) of 8 or 16 bits."""
        return {}

    @property
    def file_endings(self) -> tuple[str, ...]:
        """The keys of `files` from which `read` makes outputs; empty if the task's predictions are no maps."""
        return ()

    def read(self, files: Mapping[str, Path]) -> Outputs:
        """Outputs (1, C, H, W) as `Task.metric` takes them, from image files of `file_endings`: the inverse of `files`.

        Raises: DataError that names a file which is not of this kind.
        """
        raise ValueError(
            "read: this task's predictions are not written as images, so there is nothing to read"
        )
