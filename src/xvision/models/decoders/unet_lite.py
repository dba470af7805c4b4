"""U-Net with lite convolutions.

Source: Ronneberger et al., "U-Net" (2015), figure 1, in the form of the original system: one lite convolution a level,
and ASPP at the bottom.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xvision.models.aspp import ASPP
from xvision.models.backbone import Backbone
from xvision.models.blocks import Enlarge, enlarge, prediction, separable, width_of
from xvision.models.decoders import decoder


@decoder
class unet_lite(nn.Module):
    """UNet-Lite: from the deepest level up, join the next one, convolve; raw outputs from the largest level.

    Shapes: levels of strides S, 2 S, … to (B, K, H, W). `first_stride` is S (0: four halvings above the deepest).
    """

    def __init__(
        self,
        backbone: Backbone,
        channels: int,
        *,
        width: float = 1.0,
        aspp_channels: int = 256,
        least_channels: int = 32,
        first_stride: int = 0,
        dilations: tuple[int, ...] = (6, 12, 18),
        enlarge_by: Enlarge = "bilinear",
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        last, group = backbone.levels[-1], backbone.group_width
        first = first_stride or last.stride // 16
        self.taps = backbone.between(first, last.stride)
        self.divisor = last.stride
        inner = width_of(aspp_channels, width, group)
        self.aspp = ASPP(last.channels, inner, group, dilations, dropout)
        self.enlarge, self.join = nn.ModuleList(), nn.ModuleList()
        for tap in reversed(self.taps[:-1]):
            side = backbone.levels[tap].channels
            outer = max(2 * channels, width_of(max(least_channels, side), width, group))
            self.enlarge.append(enlarge(2, inner, enlarge_by, group))
            self.join.append(separable(inner + side, outer, group))
            inner = outer
        self.predict = prediction(inner, channels, group)
        self.restore = enlarge(first, channels, enlarge_by)
        self.last = (self.predict[-1], self.restore)

    def forward(self, *levels: Tensor) -> Tensor:
        x = self.aspp(levels[-1])
        for grow, join, level in zip(self.enlarge, self.join, reversed(levels[:-1]), strict=True):
            x = join(torch.cat([grow(x), level], dim=1))
        out: Tensor = self.restore(self.predict(x))
        return out
