"""Lite reduced ASPP: two 1x1 branches, one of them a gate by the image's mean.

Source: Howard et al., "Searching for MobileNetV3" (2019), section 6.4, with the gate's mean over the whole map.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from xvision.models.backbone import Backbone
from xvision.models.blocks import UpsampleMode, conv, scaled_channels, upsample
from xvision.models.decoders import decoder
from xvision.models.heads import PredictionLayers, channels_of, split
from xvision.models.outputs import OutputSpec


@decoder
class lraspp_lite(nn.Module):
    """LR-ASPP: the cheapest decoder; the deepest level, gated, and the one twice as large.

    Shapes: levels of strides S / 2 and S to (B, K, H, W). The deepest stride S is meant to be 16.
    """

    gives = ("map",)

    def __init__(
        self,
        backbone: Backbone,
        outputs: Sequence[OutputSpec],
        *,
        width: float = 1.0,
        inner_channels: int = 128,
        upsample_mode: UpsampleMode = "bilinear",
    ) -> None:
        super().__init__()
        last = backbone.levels[-1]
        near = backbone.last(last.stride // 2)
        self.outputs = tuple(outputs)
        self.in_features = (near, backbone.last(last.stride))
        self.size_divisor = last.stride
        inner, channels = scaled_channels(inner_channels, width, 1), channels_of(outputs)
        self.reduce = conv(last.channels, inner)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(last.channels, inner, 1, bias=False), nn.Sigmoid()
        )
        self.upsample_last = upsample(2, inner, upsample_mode)
        self.predict_near = nn.Conv2d(backbone.levels[near].channels, channels, 1)
        self.predict_last = nn.Conv2d(inner, channels, 1)
        self.upsample = upsample(last.stride // 2, channels, upsample_mode)

    @property
    def prediction_layers(self) -> PredictionLayers:
        layers = (self.predict_near, self.predict_last, self.upsample)
        return {output.name: layers for output in self.outputs}

    def forward(self, near: Tensor, last: Tensor) -> dict[str, Tensor]:
        x = self.upsample_last(self.reduce(last) * self.gate(last))
        return split(self.upsample(self.predict_near(near) + self.predict_last(x)), self.outputs)
