"""Semantic segmentation: one class per pixel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xvision.config.weighted import WeightedParts, weighted_parts_of
from xvision.data.dataset import DataError, Split
from xvision.data.framing import Inverse
from xvision.data.images import read_labels
from xvision.fields import UNKNOWN
from xvision.models.outputs import PIXEL_SCORES, OutputSpec
from xvision.tasks import task
from xvision.tasks.class_names import class_names
from xvision.tasks.class_weights import Balance, balanced, check_balance
from xvision.tasks.contract import Task
from xvision.tasks.losses import LabelLosses, label_loss
from xvision.tasks.losses.weighted import WeightedLosses
from xvision.tasks.metrics.contract import Batch, Outputs, TaskMetric
from xvision.tasks.metrics.label_map import SPECS, LabelMapMetric
from xvision.tasks.metrics.resolution import class_ids
from xvision.tasks.metrics.spec import MetricSpec
from xvision.tasks.palette import UNKNOWN as UNKNOWN_COLOUR
from xvision.tasks.palette import label_overlay, palette
from xvision.tasks.view import Prediction, View
from xvision.tasks.visualize import Colour, Image, legend, legible, row


@task
def segmentation(
    classes: Mapping[str, tuple[str, ...]],
    *,
    losses: LabelLosses = "cross_entropy",
    class_weights: tuple[float, ...] = (),
    class_balance: Balance = "none",
    num_classes: int = 0,
) -> Task:
    """Semantic segmentation: one class per pixel.

    Weights of the classes in the losses: `class_weights` by hand, or `class_balance`, which counts the labels of the
    training split before training.
    """
    names = class_names(classes, "segmentation", "segmentation", num_classes)
    check_balance(class_balance, class_weights, names)
    return Segmentation(names, weighted_parts_of(label_loss).parse(losses), class_weights, class_balance)


class Segmentation(Task):
    """Losses over class scores, measured as intersection over union; the field and the output are called `name`."""

    name = "segmentation"
    needs: tuple[str, ...] = ("segmentation",)
    metrics: tuple[MetricSpec, ...] = SPECS
    class_maps: tuple[str, ...] = ("segmentation",)

    def __init__(
        self,
        classes: tuple[str, ...],
        losses: WeightedParts,
        class_weights: Sequence[float],
        class_balance: Balance,
    ) -> None:
        self.names = classes
        self.classes = {self.name: classes}
        self.outputs = (OutputSpec(self.name, len(classes), "map", field=self.name, reading=PIXEL_SCORES),)
        self.view: View = LabelMapView(self.name, classes, palette(len(classes)))
        self._losses = WeightedLosses(losses)
        self.loss_names = self._losses.names
        self._weights = torch.tensor(class_weights) if class_weights else None
        self._balance = class_balance

    def prepare(self, train: Split) -> str:
        """Count the labels if the classes are to be balanced."""
        if self._balance == "none":
            return ""
        self._weights, line = balanced(self._balance, train, self.name, self.names)
        return line

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Terms of `losses`; scores (B, K, H, W) against ids (B, H, W), 255 unknown."""
        scores = out[self.name]
        if self._weights is not None:
            self._weights = self._weights.to(scores.device)  # once: later it is there already
        return self._losses(scores, batch[self.name], self._weights)

    def own_metric(self) -> TaskMetric:
        return LabelMapMetric(self.name, self.name, self.names)

    def decode(self, out: Outputs, inverses: Sequence[Inverse]) -> list[Prediction]:
        """Ids of the largest score, after enlarging the scores to each image; ids take the nearest pixel."""
        return [
            self._prediction(class_ids(maps, inverse).cpu().numpy())
            for maps, inverse in zip(out[self.name], inverses, strict=True)
        ]

    def ground_truth(self, batch: Batch) -> list[Prediction]:
        return [self._prediction(labels.cpu().numpy()) for labels in batch[self.name]]

    def _prediction(self, labels: np.ndarray[Any, Any]) -> Prediction:
        counts = np.bincount(labels[labels != UNKNOWN].ravel(), minlength=len(self.names))
        shares = {
            self.names[i]: round(float(counts[i] / max(1, counts.sum())), 4)
            for i in np.argsort(-counts, kind="stable")
            if counts[i]
        }
        return Prediction({"shares": shares}, {self.name: labels})


class LabelMapView(View):
    """Class colours over the image, and files of ids; the map is called `name`."""

    def __init__(self, name: str, classes: tuple[str, ...], colours: Image) -> None:
        self.name, self.names, self.colours = name, classes, colours

    def caption(self, prediction: Prediction) -> str:
        largest = list(prediction.values["shares"].items())[:3]
        return ", ".join(f"{name} {100 * share:.0f} %" for name, share in largest)

    def draw(self, image: Image, prediction: Prediction, ground_truth: Prediction | None = None) -> Image:
        """Class colours over the image; with labels the image, the labels and the prediction, side by side, and below
        them the classes that occur. Without, the size is the image's, as frames of a video must be."""
        if ground_truth is None:
            return label_overlay(image, prediction.maps[self.name], self.colours)
        image = legible(image)
        maps = {"label": ground_truth.maps[self.name], "prediction": prediction.maps[self.name]}
        overlays = {heading: label_overlay(image, ids, self.colours) for heading, ids in maps.items()}
        pictures = row({"image": image} | overlays)
        return np.concatenate([pictures, legend(pictures.shape[1], self._key(maps.values()))])

    @property
    def legend(self) -> dict[str, Colour]:
        return dict(zip(self.names, map(tuple, self.colours.tolist()), strict=True))

    def _key(self, maps: Iterable[np.ndarray[Any, Any]]) -> dict[str, Colour]:
        """The part of the legend that maps of ids need."""
        there = {int(i) for ids in maps for i in np.unique(ids)}
        key = {name: colour for i, (name, colour) in enumerate(self.legend.items()) if i in there}
        return key | ({"unknown": UNKNOWN_COLOUR} if UNKNOWN in there else {})

    def files(self, prediction: Prediction) -> dict[str, np.ndarray[Any, Any]]:
        """The ids, as an 8-bit image."""
        return {f"{self.name}.png": prediction.maps[self.name]}

    @property
    def file_endings(self) -> tuple[str, ...]:
        return (f"{self.name}.png",)

    def read(self, files: Mapping[str, Path]) -> Outputs:
        """The ids, int64 (1, 1, H, W): `metric` takes them as they are. 255 is no class: a prediction is one."""
        file = files[f"{self.name}.png"]
        ids = read_labels(file, str(file))
        if (largest := int(ids.max())) >= len(self.names):
            raise DataError(
                f"{file}: expected class ids 0 to {len(self.names) - 1}, got {largest} at "
                f"{int((ids >= len(self.names)).sum())} pixels; write the number of a class at every pixel"
            )
        return {self.name: torch.from_numpy(ids.astype(np.int64))[None, None]}
