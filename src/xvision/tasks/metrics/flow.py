"""How far predicted optical flow is from the true one."""

from __future__ import annotations

import torch

from xvision.data.framing import Inverse
from xvision.tasks.metrics.contract import Batch, Outputs, TaskMetric
from xvision.tasks.metrics.resolution import pairs
from xvision.tasks.metrics.sums import Sums, ratio

OUTLIER_PX = 3.0
OUTLIER_RATIO = 0.05


class FlowMetric(TaskMetric):
    """`epe_px`, the mean end-point error, and `outlier_ratio`, in percent, over all known pixels of a split.

    An outlier is off by more than 3 px and more than 5 % of the true flow.
    Source: Menze and Geiger, Object Scene Flow for Autonomous Vehicles, CVPR 2015, section 5 (KITTI 2015's Fl). The
    original system divides the norm of the *prediction* by that of the truth; here it is the error's.
    """

    def __init__(self, output: str = "flow", field: str = "flow") -> None:
        super().__init__()
        self.output, self.field = output, field
        self.sums = Sums(["pixels", "error_px", "outliers"])

    def update(self, out: Outputs, batch: Batch) -> None:
        """`out[output]` (B, 2, h, w), labels (B, 2, H, W) or a list of (2, H, W); not finite is unknown."""
        for prediction, ground_truth in pairs(
            out[self.output], batch[self.field], batch.get("framing"), Inverse.flow
        ):
            known = ground_truth.isfinite().all(1)
            error = torch.linalg.vector_norm(
                torch.where(known[:, None], prediction.float() - ground_truth, 0), dim=1
            )
            size = torch.linalg.vector_norm(torch.where(known[:, None], ground_truth, 0), dim=1)
            outlier = (error > OUTLIER_PX) & (error > OUTLIER_RATIO * size)
            self.sums.update(
                {
                    "pixels": known.sum(),
                    "error_px": error.sum(dtype=torch.float64),
                    "outliers": outlier.sum(),
                }
            )

    def compute(self) -> dict[str, float]:
        """NaN without a known pixel."""
        sums = self.sums.compute()
        return {
            "epe_px": ratio(sums["error_px"], sums["pixels"]),
            "outlier_ratio": 100 * ratio(sums["outliers"], sums["pixels"]),
        }
