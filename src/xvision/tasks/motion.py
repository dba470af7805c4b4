"""Motion segmentation: what moves in the world, and not only because the camera does.

One image does not show it: the network needs the previous frame or optical flow as well (`net.inputs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from xvision.config.weighted import WeightedParts, weighted_parts_of
from xvision.tasks import task
from xvision.tasks.class_weights import Balance, check_balance
from xvision.tasks.contract import Task
from xvision.tasks.losses import LabelLosses, label_loss
from xvision.tasks.metrics.contract import TaskMetric
from xvision.tasks.metrics.motion import CLASSES, SPECS, MotionMetric
from xvision.tasks.segmentation import LabelMapView, Segmentation
from xvision.tasks.view import Prediction

GREY_AND_RED = np.array([[205, 205, 205], [240, 40, 40]], np.uint8)
"""Seen on objects of any colour: the overlay of what is static is grey too, so that a red object does not hide it."""


@task
def motion(
    classes: Mapping[str, tuple[str, ...]],
    *,
    losses: LabelLosses = "cross_entropy",
    class_weights: tuple[float, ...] = (),
    class_balance: Balance = "none",
) -> Task:
    """Motion segmentation: static or moving, per pixel.

    Weights of the two in the losses: `class_weights` by hand (the original system's are 0.05,0.95), or `class_balance`,
    which counts the labels of the training split before training.
    """
    check_balance(class_balance, class_weights, CLASSES)
    return Motion(weighted_parts_of(label_loss).parse(losses), class_weights, class_balance)


class Motion(Segmentation):
    """Segmentation into two classes, measured as the mean of their intersections over union."""

    name = "motion"
    needs = ("motion",)
    metrics = SPECS
    class_maps = ("motion",)

    def __init__(self, losses: WeightedParts, class_weights: Sequence[float], class_balance: Balance) -> None:
        super().__init__(CLASSES, losses, class_weights, class_balance)
        self.view = MotionView(self.name, CLASSES, GREY_AND_RED)

    def advice(self, inputs: Sequence[str]) -> list[str]:
        if len(inputs) > 1:
            return []
        return [
            "net.inputs=image: one image does not show what moves; set net.inputs=image+flow+confidence, for example"
        ]

    def own_metric(self) -> TaskMetric:
        return MotionMetric()


class MotionView(LabelMapView):
    """Static and moving pixels over the image."""

    def caption(self, prediction: Prediction) -> str:
        return f"moving {100 * prediction.values['shares'].get('moving', 0):.1f} %"
