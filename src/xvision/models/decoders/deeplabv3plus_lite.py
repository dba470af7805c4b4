"""DeepLabV3+ with lite convolutions.

Source: Chen et al., "Encoder-Decoder with Atrous Separable Convolution" (2018), figure 2, in the form of the original
system: no refining convolutions after the shortcut is joined.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xvision.models.aspp import ASPP
from xvision.models.backbone import Backbone
from xvision.models.blocks import Enlarge, conv, enlarge, prediction, separable, width_of
from xvision.models.decoders import decoder


@decoder
class deeplabv3plus_lite(nn.Module):
    """DeepLabV3+Lite: ASPP on the deepest level, one shortcut four times larger.

    Shapes: levels of strides S and 4 S to (B, K, H, W). The deepest stride is meant to be 16: set the backbone's
    strides to 2,2,2,2,1. `num_refine` lite convolutions follow the join (the paper has two).
    """

    def __init__(
        self,
        backbone: Backbone,
        channels: int,
        *,
        width: float = 1.0,
        aspp_channels: int = 256,
        shortcut_channels: int = 48,
        num_refine: int = 0,
        dilations: tuple[int, ...] = (6, 12, 18),
        enlarge_by: Enlarge = "bilinear",
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        last, group = backbone.levels[-1], backbone.group_width
        near = backbone.last(last.stride // 4)
        self.taps = (near, backbone.last(last.stride))
        self.divisor = last.stride
        inner, side = width_of(aspp_channels, width, group), width_of(shortcut_channels, width, group)
        self.aspp = ASPP(last.channels, inner, group, dilations, dropout)
        self.enlarge = enlarge(4, inner, enlarge_by, group)
        self.shortcut = conv(backbone.levels[near].channels, side)
        joined = inner + side
        refine = [separable(joined if i == 0 else inner, inner, group) for i in range(num_refine)]
        self.refine = nn.Sequential(*refine)
        self.predict = prediction(inner if refine else joined, channels, group)
        self.restore = enlarge(last.stride // 4, channels, enlarge_by)
        self.last = (self.predict[-1], self.restore)

    def forward(self, near: Tensor, last: Tensor) -> Tensor:
        x = torch.cat([self.enlarge(self.aspp(last)), self.shortcut(near)], dim=1)
        out: Tensor = self.restore(self.predict(self.refine(x)))
        return out
