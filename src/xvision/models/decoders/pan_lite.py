"""Path aggregation with lite convolutions: a feature pyramid, and a second way from large to small.

Source: Liu et al., "Path Aggregation Network" (2018), figure 1b; lite convolutions in both ways.
"""

from __future__ import annotations

from torch import Tensor, nn

from xvision.models.backbone import Backbone
from xvision.models.blocks import Enlarge, conv, enlarge, prediction, separable, width_of
from xvision.models.decoders import decoder


@decoder
class pan_lite(nn.Module):
    """PAN-Lite: down the pyramid and up again; raw outputs from the sum of all levels.

    Shapes: levels of strides S, 2 S, … to (B, K, H, W). `first_stride` is S; `extra_levels` further ones, each half
    as large, begin at the deepest.
    """

    def __init__(
        self,
        backbone: Backbone,
        channels: int,
        *,
        width: float = 1.0,
        fpn_channels: int = 128,
        first_stride: int = 8,
        extra_levels: int = 0,
        enlarge_by: Enlarge = "bilinear",
    ) -> None:
        super().__init__()
        last, group = backbone.levels[-1], backbone.group_width
        self.taps = backbone.between(first_stride, last.stride)
        self.divisor = last.stride << extra_levels
        inner = width_of(fpn_channels, width, group)
        self.sides = nn.ModuleList([conv(backbone.levels[tap].channels, inner) for tap in self.taps])
        self.extra = nn.ModuleList([separable(inner, inner, group, stride=2) for _ in range(extra_levels)])
        steps = len(self.taps) + extra_levels - 1
        self.grow = nn.ModuleList([enlarge(2, inner, enlarge_by, group) for _ in range(steps)])
        self.smooth = nn.ModuleList([separable(inner, inner, group) for _ in range(steps)])
        self.shrink = nn.ModuleList([separable(inner, inner, group, stride=2) for _ in range(steps)])
        self.settle = nn.ModuleList([separable(inner, inner, group) for _ in range(steps)])
        self.collect = nn.ModuleList([enlarge(2 << i, inner, enlarge_by, group) for i in range(steps)])
        self.predict = prediction(inner, channels, group)
        self.restore = enlarge(first_stride, channels, enlarge_by)
        self.last = (self.predict[-1], self.restore)

    def pyramid(self, *levels: Tensor) -> list[Tensor]:
        """One map of `fpn_channels` for each level, the largest first."""
        maps = [side(level) for side, level in zip(self.sides, levels, strict=True)]
        for halve in self.extra:
            maps.append(halve(maps[-1]))
        down = [maps[-1]]
        for level, grow, smooth in zip(reversed(maps[:-1]), self.grow, self.smooth, strict=True):
            down.insert(0, smooth(level + grow(down[0])))
        up = [down[0]]
        for level, shrink, settle in zip(down[1:], self.shrink, self.settle, strict=True):
            up.append(settle(level + shrink(up[-1])))
        return up

    def forward(self, *levels: Tensor) -> Tensor:
        first, *rest = self.pyramid(*levels)
        for grow, level in zip(self.collect, rest, strict=True):
            first = first + grow(level)
        out: Tensor = self.restore(self.predict(first))
        return out
