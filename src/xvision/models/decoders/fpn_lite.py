"""Feature pyramid with lite convolutions, smoothed inside its loop.

Source: Lin et al., "Feature Pyramid Networks" (2017), figure 3, in the form of the original system: each level is
smoothed by a lite convolution before it is upsampled and added to the next.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from xvision.models.aspp import ASPP
from xvision.models.backbone import Backbone
from xvision.models.blocks import UpsampleMode, conv, scaled_channels, separable, upsample
from xvision.models.decoders import decoder
from xvision.models.heads import Heads, PredictionLayers, finest_stride
from xvision.models.outputs import OutputSpec


@decoder
class fpn_lite(nn.Module):
    """FPN-Lite: from the deepest level up, add the next one, smooth; maps from the largest level, others at theirs.

    Shapes: levels of strides S, 2 S, … to (B, K, H, W), or (B, K, H / s, W / s) for outputs of stride s.
    `first_stride` is S (0: three halvings above the deepest for maps, or the smallest stride of an output). Without
    `aspp` two further levels of half the resolution each begin the pyramid. Between addition and smoothing there is no
    ReLU: the convolutions before them end in one.
    """

    gives = ("map", "pyramid")

    def __init__(
        self,
        backbone: Backbone,
        outputs: Sequence[OutputSpec],
        *,
        width: float = 1.0,
        fpn_channels: int = 256,
        first_stride: int = 0,
        aspp: bool = True,
        dilations: tuple[int, ...] = (6, 12, 18),
        smooth_in_loop: bool = True,
        upsample_mode: UpsampleMode = "bilinear",
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        last, group = backbone.levels[-1], backbone.group_width
        self.size_divisor = last.stride if aspp else 4 * last.stride
        first = finest_stride(outputs, first_stride, last.stride // 8, self.size_divisor)
        self.in_features = backbone.between(first, last.stride)
        inner = scaled_channels(fpn_channels, width, group)
        sides = [backbone.levels[level].channels for level in self.in_features[:-1]]
        if aspp:
            self.top: nn.Module = ASPP(last.channels, inner, group, dilations, dropout)
            self.extra = nn.ModuleList()
        else:
            self.extra = nn.ModuleList(
                [
                    separable(last.channels, last.channels, group, stride=2),
                    separable(last.channels, inner, group, stride=2),
                ]
            )
            sides += [last.channels, last.channels]
            self.top = conv(inner, inner)
        self.lateral = nn.ModuleList([conv(side, inner) for side in reversed(sides)])
        self.upsample = nn.ModuleList([upsample(2, inner, upsample_mode, group) for _ in sides])
        self.smooth = nn.ModuleList(
            [
                separable(inner, inner, group) if smooth_in_loop or i == len(sides) - 1 else nn.Identity()
                for i in range(len(sides))
            ]
        )
        self.heads = Heads(inner, outputs, first, upsample_mode, group)

    @property
    def prediction_layers(self) -> PredictionLayers:
        return self.heads.prediction_layers

    def forward(self, *features: Tensor) -> dict[str, Tensor]:
        levels = list(features)
        for downsample in self.extra:
            levels.append(downsample(levels[-1]))
        stride = self.size_divisor
        pyramid = {stride: self.top(levels.pop())}
        steps = zip(self.lateral, self.upsample, self.smooth, reversed(levels), strict=True)
        for lateral, enlarge, smooth, level in steps:
            pyramid[stride // 2] = smooth(enlarge(pyramid[stride]) + lateral(level))
            stride //= 2
        return self.heads(pyramid[stride], pyramid)  # type: ignore[no-any-return]
