"""Lite reduced ASPP: two 1x1 branches, one of them a gate by the image's mean.

Source: Howard et al., "Searching for MobileNetV3" (2019), section 6.4, with the gate's mean over the whole map.
"""

from __future__ import annotations

from torch import Tensor, nn

from xvision.models.backbone import Backbone
from xvision.models.blocks import Enlarge, conv, enlarge, width_of
from xvision.models.decoders import decoder


@decoder
class lraspp_lite(nn.Module):
    """LR-ASPP: the cheapest decoder; the deepest level, gated, and the one twice as large.

    Shapes: levels of strides S and 2 S to (B, K, H, W). The deepest stride is meant to be 16.
    """

    def __init__(
        self,
        backbone: Backbone,
        channels: int,
        *,
        width: float = 1.0,
        inner_channels: int = 128,
        enlarge_by: Enlarge = "bilinear",
    ) -> None:
        super().__init__()
        last = backbone.levels[-1]
        near = backbone.last(last.stride // 2)
        self.taps = (near, backbone.last(last.stride))
        self.divisor = last.stride
        inner = width_of(inner_channels, width, 1)
        self.reduce = conv(last.channels, inner)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(last.channels, inner, 1, bias=False), nn.Sigmoid()
        )
        self.enlarge = enlarge(2, inner, enlarge_by)
        self.near = nn.Conv2d(backbone.levels[near].channels, channels, 1)
        self.far = nn.Conv2d(inner, channels, 1)
        self.restore = enlarge(last.stride // 2, channels, enlarge_by)
        self.last = (self.near, self.far, self.restore)

    def forward(self, near: Tensor, last: Tensor) -> Tensor:
        x = self.enlarge(self.reduce(last) * self.gate(last))
        out: Tensor = self.restore(self.near(near) + self.far(x))
        return out
