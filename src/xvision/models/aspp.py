"""Atrous spatial pyramid pooling with lite convolutions: context at several distances for little cost.

Source: Chen et al., "Rethinking Atrous Convolution" (2017), section 3.3, in the form of the original system: the
dilated convolutions are grouped, and there is no branch of the image's mean, which small devices are slow at.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xvision.models.blocks import conv, separable


class ASPP(nn.Module):
    """A 1x1 and a dilated lite branch for each of `dilations`, concatenated and projected by a 1x1 convolution.

    Shapes: (B, in_channels, H, W) to (B, out_channels, H, W).
    """

    def __init__(
        self, in_channels: int, out_channels: int, group_width: int, dilations: Sequence[int], dropout: float
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                conv(in_channels, out_channels),
                *(separable(in_channels, out_channels, group_width, dilation=d) for d in dilations),
            ]
        )
        self.dropout = nn.Dropout2d(dropout)
        self.project = conv(out_channels * len(self.branches), out_channels)

    def forward(self, x: Tensor) -> Tensor:
        projected: Tensor = self.project(
            self.dropout(torch.cat([branch(x) for branch in self.branches], dim=1))
        )
        return projected
