"""U-Net with lite convolutions.

Source: Ronneberger et al., "U-Net" (2015), figure 1, in the form of the original system: one lite convolution a level,
and ASPP at the bottom.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xvision.models.aspp import ASPP
from xvision.models.backbone import Backbone
from xvision.models.blocks import UpsampleMode, scaled_channels, separable, upsample
from xvision.models.decoders import decoder
from xvision.models.heads import MapHead, PredictionLayers, channels_of
from xvision.models.outputs import OutputSpec


@decoder
class unet_lite(nn.Module):
    """UNet-Lite: from the deepest level up, concatenate the next one, convolve; maps from the largest level.

    Shapes: levels of strides S, 2 S, … to (B, K, H, W). `first_stride` is S (0: four halvings above the deepest).
    """

    gives = ("map",)

    def __init__(
        self,
        backbone: Backbone,
        outputs: Sequence[OutputSpec],
        *,
        width: float = 1.0,
        aspp_channels: int = 256,
        min_channels: int = 32,
        first_stride: int = 0,
        dilations: tuple[int, ...] = (6, 12, 18),
        upsample_mode: UpsampleMode = "bilinear",
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        last, group = backbone.levels[-1], backbone.group_width
        first = first_stride or last.stride // 16
        self.in_features = backbone.between(first, last.stride)
        self.size_divisor = last.stride
        inner = scaled_channels(aspp_channels, width, group)
        self.aspp = ASPP(last.channels, inner, group, dilations, dropout)
        self.upsample, self.fuse = nn.ModuleList(), nn.ModuleList()
        for level in reversed(self.in_features[:-1]):
            side = backbone.levels[level].channels
            outer = max(2 * channels_of(outputs), scaled_channels(max(min_channels, side), width, group))
            self.upsample.append(upsample(2, inner, upsample_mode, group))
            self.fuse.append(separable(inner + side, outer, group))
            inner = outer
        self.head = MapHead(inner, outputs, first, upsample_mode, group)

    @property
    def prediction_layers(self) -> PredictionLayers:
        return self.head.prediction_layers

    def forward(self, *features: Tensor) -> dict[str, Tensor]:
        x = self.aspp(features[-1])
        for enlarge, fuse, level in zip(self.upsample, self.fuse, reversed(features[:-1]), strict=True):
            x = fuse(torch.cat([enlarge(x), level], dim=1))
        return self.head(x)  # type: ignore[no-any-return]
