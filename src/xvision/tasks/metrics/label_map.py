"""How well a map of class ids matches its labels, pixel by pixel."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from xvision.data.dataset import DataError
from xvision.data.framing import Inverse
from xvision.fields import UNKNOWN
from xvision.tasks.metrics.contract import Batch, Outputs, TaskMetric
from xvision.tasks.metrics.resolution import pairs
from xvision.tasks.metrics.spec import MetricSpec

SPECS = (
    MetricSpec("miou", "mean IoU", "%", primary=True),
    MetricSpec("pixel_accuracy", "pixel accuracy", "%"),
    MetricSpec("mean_class_accuracy", "mean class accuracy", "%"),
    MetricSpec("frequency_weighted_iou", "frequency-weighted IoU", "%"),
    MetricSpec("iou_*", "IoU of *", "%"),
)


class LabelMapMetric(TaskMetric):
    """Scores of one confusion matrix over the whole split, in percent; NaN where there is nothing to count.

    - `miou`: mean intersection over union of the classes that occur in labels or predictions,
    - `pixel_accuracy`: share of known pixels that are right,
    - `mean_class_accuracy`: mean over the classes that occur in labels of the share of their pixels that is right,
    - `frequency_weighted_iou`: IoU averaged with the shares of the classes in the labels,
    - `iou_<class>` with `per_class`.

    Source: Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015, section 5 ("metrics"). The
    original system's FreqWtAcc is `frequency_weighted_iou`; the accuracies of the classes averaged with their shares
    are `pixel_accuracy`. There a class that never occurs has IoU 0; here it is in no mean.
    """

    def __init__(self, output: str, field: str, classes: Sequence[str], *, per_class: bool = True) -> None:
        super().__init__()
        self.output, self.field, self.classes, self.per_class = output, field, tuple(classes), per_class
        self.confusion = MulticlassConfusionMatrix(len(classes), ignore_index=UNKNOWN, validate_args=False)

    def update(self, out: Outputs, batch: Batch) -> None:
        """`out[output]`: scores (B, C, h, w), or ids (B, h, w) or (B, 1, h, w); labels of any size, 255 unknown.

        Scores are enlarged before the argmax, ids take the nearest pixel.
        Raises: DataError for a label that is no class.
        """
        maps = out[self.output]
        is_scores = maps.is_floating_point()
        if not is_scores and maps.ndim == 3:
            maps = maps[:, None]
        for first, (found, label) in enumerate(
            pairs(
                maps,
                batch[self.field],
                batch.get("framing"),
                Inverse.linear if is_scores else Inverse.nearest,
            )
        ):
            self._check(label, batch, first)
            ids = found.argmax(1) if is_scores else found[:, 0].long()
            self.confusion.update(ids, label.long())

    def _check(self, labels: Tensor, batch: Batch, first: int) -> None:
        """Labels (n, H, W) of the samples from `first` on; torchmetrics would fail with a message about shapes."""
        wrong = (labels >= len(self.classes)) & (labels != UNKNOWN)
        if not wrong.any():
            return
        image = int(wrong.flatten(1).any(1).int().argmax())
        where = batch["name"][first + image] if "name" in batch else f"sample {first + image} of the batch"
        raise DataError(
            f"{where}: {self.field} has the id {int(labels[image][wrong[image]].max())}; "
            f"expected 0 to {len(self.classes) - 1}, or {UNKNOWN} for unknown"
        )

    def compute(self) -> dict[str, float]:
        counts = self.confusion.compute().cpu().double()
        right, labelled, found = counts.diag(), counts.sum(1), counts.sum(0)
        iou = right / (labelled + found - right)  # 0 / 0 is NaN: the class does not occur
        share = labelled / labelled.sum()
        scores = {
            "miou": iou.nanmean(),
            "pixel_accuracy": right.sum() / labelled.sum(),
            "mean_class_accuracy": (right / labelled).nanmean(),
            "frequency_weighted_iou": torch.where(share == 0, 0, share * iou).sum(),
        }
        if self.per_class:
            scores |= {f"iou_{name}": value for name, value in zip(self.classes, iou, strict=True)}
        return {name: 100 * float(value) for name, value in scores.items()}

    def confusions(self) -> dict[str, list[list[int]]]:
        """The confusion matrix in pixels (rows: label, columns: prediction)."""
        return {self.field: self.confusion.compute().to(torch.int64).tolist()}
