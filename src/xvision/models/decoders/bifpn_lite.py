"""Bidirectional feature pyramid with lite convolutions.

Source: Tan et al., "EfficientDet" (2020), figure 2d, in the form of the original system: plain additions without
weights, a ReLU and a lite convolution after each, and only the top-down path in the last block.
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
class bifpn_lite(nn.Module):
    """BiFPN-Lite: several rounds down and up the pyramid; maps from the largest level, others at their strides.

    Shapes: levels of strides S, 2 S, … to (B, K, H, W), or (B, K, H / s, W / s) for outputs of stride s.
    `first_stride` is S (0: three halvings above the deepest for maps, or the smallest stride of an output);
    `extra_levels` further ones, each half as large, are pooled from the deepest.
    """

    gives = ("map", "pyramid")

    def __init__(
        self,
        backbone: Backbone,
        outputs: Sequence[OutputSpec],
        *,
        width: float = 1.0,
        fpn_channels: int = 128,
        num_blocks: int = 4,
        extra_levels: int = 2,
        first_stride: int = 0,
        aspp: bool = True,
        dilations: tuple[int, ...] = (6, 12, 18),
        upsample_mode: UpsampleMode = "bilinear",
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        last, group = backbone.levels[-1], backbone.group_width
        self.size_divisor = last.stride << extra_levels
        self.first = finest_stride(outputs, first_stride, last.stride // 8, self.size_divisor)
        self.in_features = backbone.between(self.first, last.stride)
        inner = scaled_channels(fpn_channels, width, group)
        self.lateral = nn.ModuleList(
            [conv(backbone.levels[level].channels, inner) for level in self.in_features[:-1]]
        )
        self.lateral.append(
            ASPP(last.channels, inner, group, dilations, dropout) if aspp else conv(last.channels, inner)
        )
        self.pool = nn.ModuleList([nn.MaxPool2d(3, 2, 1) for _ in range(extra_levels)])
        num_levels = len(self.in_features) + extra_levels
        self.down = nn.ModuleList(
            [_TopDown(inner, num_levels, group, upsample_mode) for _ in range(num_blocks)]
        )
        self.up = nn.ModuleList([_BottomUp(inner, num_levels, group) for _ in range(num_blocks - 1)])
        self.heads = Heads(inner, outputs, self.first, upsample_mode, group)

    @property
    def prediction_layers(self) -> PredictionLayers:
        return self.heads.prediction_layers

    def forward(self, *features: Tensor) -> dict[str, Tensor]:
        levels = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for pool in self.pool:
            levels.append(pool(levels[-1]))
        for number, down in enumerate(self.down):
            lowered = down(levels)
            levels = self.up[number](levels, lowered) if number < len(self.up) else lowered
        return self.heads(levels[0], {self.first << i: level for i, level in enumerate(levels)})  # type: ignore[no-any-return]


class _TopDown(nn.Module):
    """From the deepest level to the largest: each gets the one below it, upsampled."""

    def __init__(self, channels: int, num_levels: int, group_width: int, upsample_mode: UpsampleMode) -> None:
        super().__init__()
        self.upsample = nn.ModuleList(
            [upsample(2, channels, upsample_mode, group_width) for _ in range(num_levels - 1)]
        )
        self.fuse = _fusions(channels, num_levels - 1, group_width)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        done = [levels[-1]]
        for level, enlarge, fuse in zip(reversed(levels[:-1]), self.upsample, self.fuse, strict=True):
            done.insert(0, fuse(level + enlarge(done[0])))
        return done


class _BottomUp(nn.Module):
    """From the largest level to the deepest: each gets its input, its top-down map, and the level above."""

    def __init__(self, channels: int, num_levels: int, group_width: int) -> None:
        super().__init__()
        self.downsample = nn.ModuleList([nn.MaxPool2d(3, 2, 1) for _ in range(num_levels - 1)])
        self.fuse = _fusions(channels, num_levels - 1, group_width)

    def forward(self, levels: Sequence[Tensor], lowered: Sequence[Tensor]) -> list[Tensor]:
        done = [lowered[0]]
        for i, (downsample, fuse) in enumerate(zip(self.downsample, self.fuse, strict=True), start=1):
            total = levels[i] + downsample(done[-1])
            done.append(fuse(total if lowered[i] is levels[i] else total + lowered[i]))
        return done


def _fusions(channels: int, count: int, group_width: int) -> nn.ModuleList:
    """What follows each addition."""
    return nn.ModuleList(
        [nn.Sequential(nn.ReLU(), separable(channels, channels, group_width)) for _ in range(count)]
    )
