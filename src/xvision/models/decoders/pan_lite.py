"""Path aggregation with lite convolutions: a feature pyramid, and a second path from large to small.

Source: Liu et al., "Path Aggregation Network" (2018), figure 1b; lite convolutions in both paths.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from xvision.models.backbone import Backbone
from xvision.models.blocks import UpsampleMode, conv, scaled_channels, separable, upsample
from xvision.models.decoders import decoder
from xvision.models.heads import Heads, PredictionLayers, finest_stride
from xvision.models.outputs import OutputSpec


@decoder
class pan_lite(nn.Module):
    """PAN-Lite: down the pyramid and up again; maps from the sum of all levels, others at their strides.

    Shapes: levels of strides S, 2 S, … to (B, K, H, W), or (B, K, H / s, W / s) for outputs of stride s.
    `first_stride` is S (0: 8 for maps, or the smallest stride of an output); `extra_levels` further ones, each half as
    large, begin at the deepest.
    """

    gives = ("map", "pyramid")

    def __init__(
        self,
        backbone: Backbone,
        outputs: Sequence[OutputSpec],
        *,
        width: float = 1.0,
        fpn_channels: int = 128,
        first_stride: int = 0,
        extra_levels: int = 0,
        upsample_mode: UpsampleMode = "bilinear",
    ) -> None:
        super().__init__()
        last, group = backbone.levels[-1], backbone.group_width
        self.size_divisor = last.stride << extra_levels
        self.first = finest_stride(outputs, first_stride, 8, self.size_divisor)
        self.in_features = backbone.between(self.first, last.stride)
        inner = scaled_channels(fpn_channels, width, group)
        self.lateral = nn.ModuleList(
            [conv(backbone.levels[level].channels, inner) for level in self.in_features]
        )
        self.extra = nn.ModuleList([separable(inner, inner, group, stride=2) for _ in range(extra_levels)])
        steps = len(self.in_features) + extra_levels - 1
        # only maps of the image's size read the levels beyond the last output
        full = any(not output.strides for output in outputs)
        read = max((stride for output in outputs for stride in output.strides), default=self.first)
        up = steps if full else (read // self.first).bit_length() - 1
        self.upsample = nn.ModuleList([upsample(2, inner, upsample_mode, group) for _ in range(steps)])
        self.smooth = nn.ModuleList([separable(inner, inner, group) for _ in range(steps)])
        self.downsample = nn.ModuleList([separable(inner, inner, group, stride=2) for _ in range(up)])
        self.smooth_up = nn.ModuleList([separable(inner, inner, group) for _ in range(up)])
        self.collect = nn.ModuleList(
            [upsample(2 << i, inner, upsample_mode, group) for i in range(steps if full else 0)]
        )
        self.heads = Heads(inner, outputs, self.first, upsample_mode, group)

    @property
    def prediction_layers(self) -> PredictionLayers:
        return self.heads.prediction_layers

    def pyramid(self, *features: Tensor) -> list[Tensor]:
        """One map of `fpn_channels` for each level that is read, the largest first."""
        levels = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for downsample in self.extra:
            levels.append(downsample(levels[-1]))
        down = [levels[-1]]
        for level, enlarge, smooth in zip(reversed(levels[:-1]), self.upsample, self.smooth, strict=True):
            down.insert(0, smooth(level + enlarge(down[0])))
        up = [down[0]]
        for level, downsample, smooth in zip(down[1:], self.downsample, self.smooth_up, strict=False):
            up.append(smooth(level + downsample(up[-1])))
        return up

    def forward(self, *features: Tensor) -> dict[str, Tensor]:
        levels = self.pyramid(*features)
        largest = levels[0]
        for enlarge, level in zip(self.collect, levels[1:], strict=False):
            largest = largest + enlarge(level)
        return self.heads(largest, {self.first << i: level for i, level in enumerate(levels)})  # type: ignore[no-any-return]
