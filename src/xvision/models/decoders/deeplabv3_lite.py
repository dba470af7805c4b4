"""DeepLabV3 with lite convolutions.

Source: Chen et al., "Rethinking Atrous Convolution" (2017), figure 5, with grouped dilated convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from xvision.models.aspp import ASPP
from xvision.models.backbone import Backbone
from xvision.models.blocks import UpsampleMode, scaled_channels, separable, upsample
from xvision.models.decoders import decoder
from xvision.models.heads import PredictionLayers, channels_of, split
from xvision.models.outputs import OutputSpec


@decoder
class deeplabv3_lite(nn.Module):
    """DeepLabV3-Lite: ASPP on the deepest level and nothing else.

    Shapes: the level of stride S to (B, K, H, W). S is meant to be 16.
    """

    gives = ("map",)

    def __init__(
        self,
        backbone: Backbone,
        outputs: Sequence[OutputSpec],
        *,
        width: float = 1.0,
        aspp_channels: int = 256,
        dilations: tuple[int, ...] = (6, 12, 18),
        upsample_mode: UpsampleMode = "bilinear",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        last, group = backbone.levels[-1], backbone.group_width
        self.outputs = tuple(outputs)
        self.in_features = (backbone.last(last.stride),)
        self.size_divisor = last.stride
        inner, channels = scaled_channels(aspp_channels, width, group), channels_of(outputs)
        self.aspp = ASPP(last.channels, inner, group, dilations, dropout)
        self.refine = separable(inner, inner, group)
        self.predict = nn.Conv2d(inner, channels, 1)
        self.upsample = upsample(last.stride, channels, upsample_mode)

    @property
    def prediction_layers(self) -> PredictionLayers:
        return {output.name: (self.predict, self.upsample) for output in self.outputs}

    def forward(self, last: Tensor) -> dict[str, Tensor]:
        return split(self.upsample(self.predict(self.refine(self.aspp(last)))), self.outputs)
