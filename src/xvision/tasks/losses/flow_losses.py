"""Losses of maps of optical flow.

A loss takes a prediction and flow (B, 2, H, W) in px, and, where the data set has one, a mask (B, H, W) of known
pixels; flow that is not finite is unknown too. A batch without a known pixel gives 0.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from xvision.tasks.losses import loss
from xvision.tasks.losses.masked import masked_mean, precise


class FlowLoss(Protocol):
    """Prediction and flow (B, 2, H, W), known (B, H, W) or None -> scalar."""

    def __call__(self, prediction: Tensor, flow: Tensor, known: Tensor | None = None, /) -> Tensor: ...


@loss
def end_point() -> FlowLoss:
    """Distance in px between the end points of predicted and true flow, mean over known pixels.

    Source: Otte and Nagel, Optical Flow Estimation: Advances and Comparisons, ECCV 1994; the original system's
    end_point_loss, which takes flow of exactly 0 for unknown; here that is a pixel at rest.
    """

    def of(prediction: Tensor, flow: Tensor, known: Tensor | None = None) -> Tensor:
        assert flow.shape[1] == 2, flow.shape
        assert prediction.shape == flow.shape, (prediction.shape, flow.shape)
        finite = flow.isfinite().all(1)
        known = finite if known is None else finite & known.bool()
        difference = torch.where(known[:, None], precise(prediction) - flow, 0)
        return masked_mean(torch.linalg.vector_norm(difference, dim=1), known)  # its gradient at 0 is 0

    return of
