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
    """A 1x1 and a dilated lite branch for each of `dilations`, side by side, joined by a 1x1 convolution.

    Shapes: (B, inputs, H, W) to (B, outputs, H, W).
    """

    def __init__(
        self, inputs: int, outputs: int, group_width: int, dilations: Sequence[int], dropout: float
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [conv(inputs, outputs), *(separable(inputs, outputs, group_width, dilation=d) for d in dilations)]
        )
        self.dropout = nn.Dropout2d(dropout)
        self.join = conv(outputs * len(self.branches), outputs)

    def forward(self, x: Tensor) -> Tensor:
        joined: Tensor = self.join(self.dropout(torch.cat([branch(x) for branch in self.branches], dim=1)))
        return joined
