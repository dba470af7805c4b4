"""Image classification: one class per image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix, MulticlassF1Score

from xvision.data.framing import Inverse
from xvision.models.outputs import CLASS_SCORES, OutputSpec
from xvision.tasks import task
from xvision.tasks.class_names import class_names
from xvision.tasks.contract import Task
from xvision.tasks.metrics.contract import Batch, Outputs, TaskMetric
from xvision.tasks.metrics.spec import MetricSpec
from xvision.tasks.view import Prediction, View
from xvision.tasks.visualize import LEAST_WIDTH_PX, Image, strip, titled

GREEN, RED = (120, 220, 120), (245, 120, 110)


@task
def classification(
    classes: Mapping[str, tuple[str, ...]], *, num_classes: int = 0, label_smoothing: float = 0.0
) -> Task:
    """Image classification: one class per image."""
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"task.label_smoothing: expected 0 <= value < 1, got {label_smoothing}")
    names = class_names(classes, "class", "classification", num_classes)
    return Classification(names, label_smoothing)


class Classification(Task):
    """Softmax cross-entropy over the classes of the data set."""

    name = "classification"
    needs = ("class",)
    loss_names = ("cross_entropy",)
    metrics = (
        MetricSpec("top1", "top-1 accuracy", "%", primary=True),
        MetricSpec("top5", "top-5 accuracy", "%"),
        MetricSpec("mean_class_accuracy", "mean class accuracy", "%"),
        MetricSpec("f1", "macro F1", "%"),
    )

    def __init__(self, classes: tuple[str, ...], label_smoothing: float) -> None:
        self.names = classes
        self.classes = {"class": classes}
        self.outputs = (OutputSpec("class", len(classes), "scores", field="class", reading=CLASS_SCORES),)
        self.label_smoothing = label_smoothing
        self.view = ClassView()

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy; labels are ids (B,) or, after mixup and cutmix, shares (B, C)."""
        return {
            "cross_entropy": F.cross_entropy(
                out["class"], batch["class"], label_smoothing=self.label_smoothing
            )
        }

    def own_metric(self) -> TaskMetric:
        return ClassificationMetric(len(self.names))

    def decode(self, out: Outputs, inverses: Sequence[Inverse]) -> list[Prediction]:
        """The five most likely classes and their softmax scores."""
        scores, ids = out["class"].float().softmax(dim=1).topk(min(5, len(self.names)), dim=1)
        return [
            Prediction(
                {
                    "class": self.names[row_ids[0]],
                    "score": row_scores[0],
                    "top5": [
                        {"class": self.names[i], "score": s} for i, s in zip(row_ids, row_scores, strict=True)
                    ],
                }
            )
            for row_ids, row_scores in zip(ids.tolist(), scores.tolist(), strict=True)
        ]

    def ground_truth(self, batch: Batch) -> list[Prediction]:
        return [Prediction({"class": self.names[i]}) for i in batch["class"].tolist()]


class ClassView(View):
    """The class and its score."""

    def caption(self, prediction: Prediction) -> str:
        score = prediction.values.get("score")
        return str(prediction.values["class"]) + ("" if score is None else f" {score:.2f}")

    def is_right(self, prediction: Prediction, ground_truth: Prediction) -> bool:
        return bool(prediction.values["class"] == ground_truth.values["class"])

    def draw(self, image: Image, prediction: Prediction, ground_truth: Prediction | None = None) -> Image:
        """Under the image the class and its score: green if it is the label, which stands above, and red if not."""
        width = max(LEAST_WIDTH_PX, image.shape[1])
        height = round(image.shape[0] * width / image.shape[1])
        enlarged: Image = cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST).astype(np.uint8)
        if ground_truth is None:
            return np.concatenate([enlarged, strip(width, self.caption(prediction))])
        colour = GREEN if self.is_right(prediction, ground_truth) else RED
        picture = np.concatenate([enlarged, strip(width, self.caption(prediction), colour=colour)])
        return titled(f"label: {self.caption(ground_truth)}", picture)


class ClassificationMetric(TaskMetric):
    """top1, top5 (with more than five classes), mean per-class accuracy and macro F1, in percent."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        metrics: dict[str, Any] = {
            "top1": MulticlassAccuracy(num_classes, average="micro"),
            "mean_class_accuracy": MulticlassAccuracy(num_classes, average="macro"),
            "f1": MulticlassF1Score(num_classes, average="macro"),
        }
        if num_classes > 5:
            metrics["top5"] = MulticlassAccuracy(num_classes, average="micro", top_k=5)
        self.shares = MetricCollection(metrics)
        self.confusion = MulticlassConfusionMatrix(num_classes)

    def update(self, out: Outputs, batch: Batch) -> None:
        """`out["class"]` (B, C) scores, `batch["class"]` (B,) ids."""
        scores, labels = out["class"].float(), batch["class"]
        self.shares.update(scores, labels)
        self.confusion.update(scores, labels)

    def compute(self) -> dict[str, float]:
        return {name: 100 * float(value) for name, value in self.shares.compute().items()}

    def confusions(self) -> dict[str, list[list[int]]]:
        return {"class": self.confusion.compute().to(torch.int64).tolist()}
