"""How far predicted depth is from the true one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xvision.data.framing import Inverse
from xvision.tasks.metrics.contract import Batch, Outputs, TaskMetric
from xvision.tasks.metrics.resolution import pairs
from xvision.tasks.metrics.spec import MetricSpec
from xvision.tasks.metrics.sums import Sums, ratio

MIN_M = 1e-3
"""Predictions below are taken for this before a logarithm or a quotient, as depth benchmarks do."""


@dataclass(frozen=True)
class Range:
    """Which pixels a relative error counts: those deeper than `above_m`; both depths are cut at `max_m`."""

    above_m: float = 0.0
    max_m: float = float("inf")
    weight_at_max: float = 1.0
    """Weight of pixels whose true depth is cut."""


RANGES = {
    "abs_rel": Range(),
    "abs_rel_rng1": Range(1),
    "abs_rel_rng3to20": Range(3, 20),
    "abs_rel_rng3to80": Range(3, 80),
    "abs_rel_rng3to255": Range(3, 255),
    "abs_rel_weighted_rng3to255": Range(3, 255, 0.1),
}
"""The original system's ranges (supervised_relative_error and its _rng variants)."""

SPECS = (
    MetricSpec("abs_rel", "relative depth error", "%", larger_is_better=False, primary=True),
    MetricSpec("abs_rel_rng1", "relative depth error beyond 1 m", "%", larger_is_better=False),
    MetricSpec("abs_rel_rng3to20", "relative depth error from 3 m, cut at 20 m", "%", larger_is_better=False),
    MetricSpec("abs_rel_rng3to80", "relative depth error from 3 m, cut at 80 m", "%", larger_is_better=False),
    MetricSpec(
        "abs_rel_rng3to255", "relative depth error from 3 m, cut at 255 m", "%", larger_is_better=False
    ),
    MetricSpec(
        "abs_rel_weighted_rng3to255",
        "relative depth error from 3 m, a tenth of the weight from 255 m",
        "%",
        larger_is_better=False,
    ),
    MetricSpec("rmse_m", "RMSE of depth", "m", larger_is_better=False),
    MetricSpec("rmse_log", "RMSE of log depth", "log m", larger_is_better=False),
    MetricSpec("silog", "SILog", "100 log m", larger_is_better=False),
    MetricSpec("delta1", "depth within 1.25", "%"),
    MetricSpec("delta2", "depth within 1.25²", "%"),
    MetricSpec("delta3", "depth within 1.25³", "%"),
)


class DepthMetric(TaskMetric):
    """The usual errors of depth over all known pixels of a split; NaN where nothing is counted.

    - `abs_rel` and its ranges, in percent: mean of |prediction - depth| / depth (absolute relative difference),
    - `rmse_m`, `rmse_log`: root of the mean squared error of depth, of its natural logarithm,
    - `silog`: 100 times the standard deviation of the log error inside an image, mean over images,
    - `delta1`, `delta2`, `delta3`, in percent: pixels with max(prediction / depth, depth / prediction) < 1.25^k.

    Source: Eigen et al., Depth Map Prediction from a Single Image using a Multi-Scale Deep Network, NIPS 2014, section
    4.1; SILog as in KITTI's depth benchmark (Uhrig et al., Sparsity Invariant CNNs, 3DV 2017). Means are per pixel over
    the split, not means of the means of images, except SILog, which is about one image by definition. The original
    system counts pixels outside a range as error 0; here they are not counted.
    """

    def __init__(self, output: str = "depth", field: str = "depth") -> None:
        super().__init__()
        self.output, self.field = output, field
        ranges = [f"{name}_{part}" for name in RANGES for part in ("error", "weight")]
        self.sums = Sums(
            [*ranges, "pixels", "squares", "log_squares", "delta1", "delta2", "delta3", "silog", "images"]
        )

    def update(self, out: Outputs, batch: Batch) -> None:
        """`out[output]` (B, 1, h, w) or (B, h, w), depth of any size, both in m; 0 is unknown.

        Predictions are enlarged bilinearly.
        """
        maps = out[self.output]
        maps = maps[:, None] if maps.ndim == 3 else maps
        for found, depth in pairs(maps, batch[self.field], batch.get("framing"), Inverse.linear):
            known = (depth > 0) & depth.isfinite()
            ground_truth = torch.where(known, depth, 1).float()
            prediction = torch.where(known, found[:, 0].float(), 1)
            values = _relative_errors(prediction, ground_truth, known) | _other_errors(
                prediction, ground_truth, known
            )
            self.sums.update(values)

    def compute(self) -> dict[str, float]:
        sums = self.sums.compute()
        pixels = sums["pixels"]
        return {
            **{name: 100 * ratio(sums[f"{name}_error"], sums[f"{name}_weight"]) for name in RANGES},
            "rmse_m": ratio(sums["squares"], pixels) ** 0.5,
            "rmse_log": ratio(sums["log_squares"], pixels) ** 0.5,
            "silog": 100 * ratio(sums["silog"], sums["images"]),
            **{f"delta{k}": 100 * ratio(sums[f"delta{k}"], pixels) for k in (1, 2, 3)},
        }


def _relative_errors(prediction: Tensor, ground_truth: Tensor, known: Tensor) -> dict[str, Tensor]:
    """Weighted sums of relative errors, and of weights, per range."""
    sums = {}
    for name, limits in RANGES.items():
        capped_ground_truth = ground_truth.clamp(max=limits.max_m)
        error = (
            prediction.clamp(-limits.max_m, limits.max_m) - capped_ground_truth
        ).abs() / capped_ground_truth
        weight = torch.where(ground_truth < limits.max_m, 1.0, limits.weight_at_max) * (
            known & (ground_truth > limits.above_m)
        )
        sums[f"{name}_error"] = (error * weight).sum(dtype=torch.float64)
        sums[f"{name}_weight"] = weight.sum(dtype=torch.float64)
    return sums


def _other_errors(prediction: Tensor, ground_truth: Tensor, known: Tensor) -> dict[str, Tensor]:
    positive = prediction.clamp(min=MIN_M)
    log_error = (positive.log() - ground_truth.log()).double() * known
    factor = torch.maximum(positive / ground_truth, ground_truth / positive)
    num_known = known.sum((1, 2))
    n = num_known.clamp(min=1)
    variance = (log_error**2).sum((1, 2)) / n - (log_error.sum((1, 2)) / n) ** 2
    return {
        "pixels": known.sum(),
        "squares": ((prediction - ground_truth) ** 2 * known).sum(dtype=torch.float64),
        "log_squares": (log_error**2).sum(),
        **{f"delta{k}": ((factor < 1.25**k) & known).sum() for k in (1, 2, 3)},
        "silog": variance.clamp(min=0).sqrt().sum(),
        "images": (num_known > 0).sum(),
    }
