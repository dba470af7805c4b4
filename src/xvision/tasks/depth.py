"""Depth estimation: metres per pixel.

The network's raw output is the natural logarithm of the depth in metres: errors of a tenth then weigh alike near and
far, and no range has to be known beforehand. Losses and metrics are of the depth itself, as in the original system.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xvision.config.weighted import WeightedParts, weighted_parts_of
from xvision.data.dataset import DataError
from xvision.data.framing import Inverse
from xvision.data.images import read_depth
from xvision.models.outputs import OutputSpec, Reading, Step
from xvision.tasks import task
from xvision.tasks.contract import Task
from xvision.tasks.losses import DepthLosses, depth_loss
from xvision.tasks.losses.weighted import WeightedLosses
from xvision.tasks.metrics.contract import Batch, Outputs, TaskMetric
from xvision.tasks.metrics.depth import SPECS, DepthMetric
from xvision.tasks.palette import depth_picture, depth_range, depth_scale
from xvision.tasks.view import Prediction, View
from xvision.tasks.visualize import Image, legible, row

LOG_RANGE = (-5.0, 7.0)  # 7 mm to 1.1 km
LOG_METRES = Reading(
    "natural logarithm of the depth in m",
    "depth",
    "m",
    (
        Step("clip", low=LOG_RANGE[0], high=LOG_RANGE[1]),
        Step("exp"),
        Step("to_image", interpolation="linear"),
    ),
)
MM = 1000


@task
def depth(
    classes: Mapping[str, tuple[str, ...]],
    *,
    losses: DepthLosses = "silog,smooth_l1:0.1",
) -> Task:
    """Depth estimation: metres per pixel."""
    return Depth(weighted_parts_of(depth_loss).parse(losses))


def metres(raw: Tensor) -> Tensor:
    """Depth of raw outputs (B, 1, H, W): (B, H, W) in m."""
    return raw[:, 0].clamp(*LOG_RANGE).exp()


class Depth(Task):
    """Regression losses over known pixels, measured as relative error."""

    name = "depth"
    needs = ("depth",)
    metrics = SPECS

    def __init__(self, losses: WeightedParts) -> None:
        self.classes = {}
        self.outputs = (OutputSpec("depth", 1, "map", field="depth", reading=LOG_METRES),)
        self._losses = WeightedLosses(losses)
        self.loss_names = self._losses.names
        self.view = DepthView()

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Terms of `losses`; depth (B, H, W) against labels (B, H, W), 0 unknown."""
        return self._losses(metres(out["depth"])[:, None], batch["depth"])

    def own_metric(self) -> TaskMetric:
        return LogDepthMetric()

    def decode(self, out: Outputs, inverses: Sequence[Inverse]) -> list[Prediction]:
        """Depth in metres, enlarged to each image."""
        maps = zip(metres(out["depth"].float())[:, None], inverses, strict=True)
        return [_prediction(inverse.linear(depth_m[None])[0, 0].cpu().numpy()) for depth_m, inverse in maps]

    def ground_truth(self, batch: Batch) -> list[Prediction]:
        return [_prediction(torch.as_tensor(d).cpu().numpy()) for d in batch["depth"]]


def _prediction(depth_m: np.ndarray[Any, Any]) -> Prediction:
    near, far = depth_range(depth_m)
    known = depth_m[depth_m > 0]
    median = round(float(np.median(known)), 3) if known.size else 0.0
    return Prediction(
        {"near_m": round(near, 3), "far_m": round(far, 3), "median_m": median}, {"depth": depth_m}
    )


class DepthView(View):
    """Depth in colours, and in files of millimetres."""

    def caption(self, prediction: Prediction) -> str:
        v = prediction.values
        return f"{v['near_m']:.3g}-{v['far_m']:.3g} m, median {v['median_m']:.3g} m"

    def draw(self, image: Image, prediction: Prediction, ground_truth: Prediction | None = None) -> Image:
        """The depth in colours with its scale; with labels the image, the labels and the prediction, on one scale."""
        image = legible(image)
        maps = {"prediction": prediction.maps["depth"]}
        if ground_truth is not None:
            maps = {"label": ground_truth.maps["depth"]} | maps
        scale = depth_scale(*maps.values())
        pictures = {heading: depth_picture(image, depth_m, *scale) for heading, depth_m in maps.items()}
        return pictures["prediction"] if ground_truth is None else row({"image": image} | pictures)

    def files(self, prediction: Prediction) -> dict[str, np.ndarray[Any, Any]]:
        """The depth in millimetres, as a 16-bit image; 0 is unknown."""
        return {"depth.png": (prediction.maps["depth"] * MM).round().clip(0, 65535).astype(np.uint16)}

    @property
    def file_endings(self) -> tuple[str, ...]:
        return ("depth.png",)

    def read(self, files: Mapping[str, Path]) -> Outputs:
        """Raw outputs, log m (1, 1, H, W), of depth in mm; 0 is no depth: a prediction is one."""
        file = files["depth.png"]
        mm = read_depth(file, str(file))
        if not mm.all():
            raise DataError(
                f"{file}: expected depth in millimetres, 1 to 65535, got 0 at {int((mm == 0).sum())} pixels; "
                "write a depth at every pixel"
            )
        return {"depth": torch.from_numpy(mm.astype(np.float64) / MM).log().float()[None, None]}


class LogDepthMetric(DepthMetric):
    """Errors of depth in metres from raw outputs."""

    def update(self, out: Outputs, batch: Batch) -> None:
        """`out["depth"]` (B, 1, h, w) raw, `batch["depth"]` in m."""
        super().update({"depth": metres(out["depth"])}, batch)
