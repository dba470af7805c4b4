"""Losses of maps of pixels, one kind of map per file; each kind has a registry. `weighted.py` adds several up."""

from __future__ import annotations

from typing import Annotated

from xvision.config.parts import Registry
from xvision.config.weighted import WeightedParts, weighted_parts_of

label_loss = Registry("label_loss", "xvision.tasks.losses")
depth_loss = Registry("depth_loss", "xvision.tasks.losses")

LABEL_NAMES = {"segmentation_loss": "cross_entropy"}
DEPTH_NAMES = {
    "supervised_loss": "smooth_l1",
    "supervised_error": "smooth_l1",
    "smooth_l1_norm_loss": "smooth_l1",
    "supervised_l1_loss": "l1",
    "charbonnier_loss": "charbonnier",
    "root_mean_squared_error": "rmse",
    "supervised_relative_error": "relative",
    "supervised_error_var": "error_variance",
    "supervised_error_std": "error_variance:root=true",
    "scale_loss": "mean_scale",
    "charbonnier_scale_loss": "mean_scale",
    "scale_abs_loss": "mean_scale:penalty=l1",
}
"""What the original system calls a loss, and ours: its names are taken on the command line too."""

LabelLosses = Annotated[WeightedParts | str, weighted_parts_of(label_loss, LABEL_NAMES)]
DepthLosses = Annotated[WeightedParts | str, weighted_parts_of(depth_loss, DEPTH_NAMES)]
