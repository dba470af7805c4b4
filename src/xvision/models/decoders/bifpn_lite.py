"""Bidirectional feature pyramid with lite convolutions.

Source: Tan et al., "EfficientDet" (2020), figure 2d, in the form of the original system: plain additions without
weights, a ReLU and a lite convolution after each, and only the way down in the last block.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from xvision.models.aspp import ASPP
from xvision.models.backbone import Backbone
from xvision.models.blocks import Enlarge, conv, enlarge, prediction, separable, width_of
from xvision.models.decoders import decoder


@decoder
class bifpn_lite(nn.Module):
    """BiFPN-Lite: several rounds down and up the pyramid; raw outputs from the largest level.

    Shapes: levels of strides S, 2 S, … to (B, K, H, W). `first_stride` is S (0: three halvings above the deepest);
    `extra_levels` further ones, each half as large, are pooled from the deepest.
    """

    def __init__(
        self,
        backbone: Backbone,
        channels: int,
        *,
        width: float = 1.0,
        fpn_channels: int = 128,
        num_blocks: int = 4,
        extra_levels: int = 2,
        first_stride: int = 0,
        aspp: bool = True,
        dilations: tuple[int, ...] = (6, 12, 18),
        enlarge_by: Enlarge = "bilinear",
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        last, group = backbone.levels[-1], backbone.group_width
        first = first_stride or last.stride // 8
        self.taps = backbone.between(first, last.stride)
        self.divisor = last.stride << extra_levels
        inner = width_of(fpn_channels, width, group)
        self.sides = nn.ModuleList([conv(backbone.levels[tap].channels, inner) for tap in self.taps[:-1]])
        self.sides.append(
            ASPP(last.channels, inner, group, dilations, dropout) if aspp else conv(last.channels, inner)
        )
        self.pool = nn.ModuleList([nn.MaxPool2d(3, 2, 1) for _ in range(extra_levels)])
        num_levels = len(self.taps) + extra_levels
        self.down = nn.ModuleList([_Down(inner, num_levels, group, enlarge_by) for _ in range(num_blocks)])
        self.up = nn.ModuleList([_Up(inner, num_levels, group) for _ in range(num_blocks - 1)])
        self.predict = prediction(inner, channels, group)
        self.restore = enlarge(first, channels, enlarge_by)
        self.last = (self.predict[-1], self.restore)

    def forward(self, *levels: Tensor) -> Tensor:
        maps = [side(level) for side, level in zip(self.sides, levels, strict=True)]
        for pool in self.pool:
            maps.append(pool(maps[-1]))
        for number, down in enumerate(self.down):
            lowered = down(maps)
            maps = self.up[number](maps, lowered) if number < len(self.up) else lowered
        out: Tensor = self.restore(self.predict(maps[0]))
        return out


class _Down(nn.Module):
    """From the deepest level to the largest: each gets the one below it, enlarged."""

    def __init__(self, channels: int, num_levels: int, group_width: int, enlarge_by: Enlarge) -> None:
        super().__init__()
        self.grow = nn.ModuleList(
            [enlarge(2, channels, enlarge_by, group_width) for _ in range(num_levels - 1)]
        )
        self.fuse = _fusions(channels, num_levels - 1, group_width)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        done = [maps[-1]]
        for level, grow, fuse in zip(reversed(maps[:-1]), self.grow, self.fuse, strict=True):
            done.insert(0, fuse(level + grow(done[0])))
        return done


class _Up(nn.Module):
    """From the largest level to the deepest: each gets what came in, what the way down made, and the one above."""

    def __init__(self, channels: int, num_levels: int, group_width: int) -> None:
        super().__init__()
        self.shrink = nn.ModuleList([nn.MaxPool2d(3, 2, 1) for _ in range(num_levels - 1)])
        self.fuse = _fusions(channels, num_levels - 1, group_width)

    def forward(self, maps: Sequence[Tensor], lowered: Sequence[Tensor]) -> list[Tensor]:
        done = [lowered[0]]
        for i, (shrink, fuse) in enumerate(zip(self.shrink, self.fuse, strict=True), start=1):
            whole = maps[i] + shrink(done[-1])
            done.append(fuse(whole if lowered[i] is maps[i] else whole + lowered[i]))
        return done


def _fusions(channels: int, count: int, group_width: int) -> nn.ModuleList:
    """What follows each addition."""
    return nn.ModuleList(
        [nn.Sequential(nn.ReLU(), separable(channels, channels, group_width)) for _ in range(count)]
    )
