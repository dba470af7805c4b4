"""DeepLabV3+ with lite convolutions.

Source: Chen et al., "Encoder-Decoder with Atrous Separable Convolution" (2018), figure 2, in the form of the original
system: no refining convolutions after the shortcut is concatenated.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xvision.models.aspp import ASPP
from xvision.models.backbone import Backbone
from xvision.models.blocks import UpsampleMode, conv, scaled_channels, separable, upsample
from xvision.models.decoders import decoder
from xvision.models.heads import MapHead, PredictionLayers
from xvision.models.outputs import OutputSpec


@decoder
class deeplabv3plus_lite(nn.Module):
    """DeepLabV3+Lite: ASPP on the deepest level, one shortcut four times larger.

    Shapes: levels of strides S / 4 and S to (B, K, H, W). The deepest stride S is meant to be 16: set the backbone's
    strides to 2,2,2,2,1. `num_refine` lite convolutions follow the concatenation (the paper has two).
    """

    gives = ("map",)

    def __init__(
        self,
        backbone: Backbone,
        outputs: Sequence[OutputSpec],
        *,
        width: float = 1.0,
        aspp_channels: int = 256,
        shortcut_channels: int = 48,
        num_refine: int = 0,
        dilations: tuple[int, ...] = (6, 12, 18),
        upsample_mode: UpsampleMode = "bilinear",
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        last, group = backbone.levels[-1], backbone.group_width
        near = backbone.last(last.stride // 4)
        self.in_features = (near, backbone.last(last.stride))
        self.size_divisor = last.stride
        inner = scaled_channels(aspp_channels, width, group)
        side = scaled_channels(shortcut_channels, width, group)
        self.aspp = ASPP(last.channels, inner, group, dilations, dropout)
        self.upsample = upsample(4, inner, upsample_mode, group)
        self.shortcut = conv(backbone.levels[near].channels, side)
        both = inner + side
        refine = [separable(both if i == 0 else inner, inner, group) for i in range(num_refine)]
        self.refine = nn.Sequential(*refine)
        self.head = MapHead(inner if refine else both, outputs, last.stride // 4, upsample_mode, group)

    @property
    def prediction_layers(self) -> PredictionLayers:
        return self.head.prediction_layers

    def forward(self, near: Tensor, last: Tensor) -> dict[str, Tensor]:
        x = torch.cat([self.upsample(self.aspp(last)), self.shortcut(near)], dim=1)
        return self.head(self.refine(x))  # type: ignore[no-any-return]
