"""How well moving and static pixels are told apart."""

from __future__ import annotations

from xvision.tasks.metrics.contract import Batch, Outputs, TaskMetric
from xvision.tasks.metrics.label_map import LabelMapMetric
from xvision.tasks.metrics.spec import MetricSpec

CLASSES = ("static", "moving")
SPECS = (
    MetricSpec("miou", "mean IoU", "%", primary=True),
    MetricSpec("moving_iou", "moving IoU", "%"),
    MetricSpec("static_iou", "static IoU", "%"),
)


class MotionMetric(TaskMetric):
    """`miou`, `moving_iou` and `static_iou` in percent, as the original system's table of motion segmentation."""

    def __init__(self, output: str = "motion", field: str = "motion") -> None:
        super().__init__()
        self.map = LabelMapMetric(output, field, CLASSES)

    def update(self, out: Outputs, batch: Batch) -> None:
        """Scores (B, 2, h, w) or ids, labels 0 static, 1 moving, 255 unknown of any size."""
        self.map.update(out, batch)

    def compute(self) -> dict[str, float]:
        """NaN for a class that is neither labelled nor predicted anywhere."""
        scores = self.map.compute()
        return {
            "miou": scores["miou"],
            "moving_iou": scores["iou_moving"],
            "static_iou": scores["iou_static"],
        }

    def confusions(self) -> dict[str, list[list[int]]]:
        return self.map.confusions()
