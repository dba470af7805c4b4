"""DeepLabV3 with lite convolutions.

Source: Chen et al., "Rethinking Atrous Convolution" (2017), figure 5, with grouped dilated convolutions.
"""

from __future__ import annotations

from torch import Tensor, nn

from xvision.models.aspp import ASPP
from xvision.models.backbone import Backbone
from xvision.models.blocks import Enlarge, enlarge, separable, width_of
from xvision.models.decoders import decoder


@decoder
class deeplabv3_lite(nn.Module):
    """DeepLabV3-Lite: ASPP on the deepest level and nothing else.

    Shapes: the level of stride S to (B, K, H, W). S is meant to be 16.
    """

    def __init__(
        self,
        backbone: Backbone,
        channels: int,
        *,
        width: float = 1.0,
        aspp_channels: int = 256,
        dilations: tuple[int, ...] = (6, 12, 18),
        enlarge_by: Enlarge = "bilinear",
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        last, group = backbone.levels[-1], backbone.group_width
        self.taps = (backbone.last(last.stride),)
        self.divisor = last.stride
        inner = width_of(aspp_channels, width, group)
        self.aspp = ASPP(last.channels, inner, group, dilations, dropout)
        self.refine = separable(inner, inner, group)
        self.predict = nn.Conv2d(inner, channels, 1)
        self.restore = enlarge(last.stride, channels, enlarge_by)
        self.last = (self.predict, self.restore)

    def forward(self, last: Tensor) -> Tensor:
        out: Tensor = self.restore(self.predict(self.refine(self.aspp(last))))
        return out
