"""Feature pyramid with lite convolutions, smoothed inside its loop.

Source: Lin et al., "Feature Pyramid Networks" (2017), figure 3, in the form of the original system: each level is
smoothed by a lite convolution before it is enlarged and added to the next, and only the largest is read.
"""

from __future__ import annotations

from torch import Tensor, nn

from xvision.models.aspp import ASPP
from xvision.models.backbone import Backbone
from xvision.models.blocks import Enlarge, conv, enlarge, prediction, separable, width_of
from xvision.models.decoders import decoder


@decoder
class fpn_lite(nn.Module):
    """FPN-Lite: from the deepest level up, add the next one, smooth; raw outputs from the largest level.

    Shapes: levels of strides S, 2 S, … to (B, K, H, W). `first_stride` is S (0: three halvings above the deepest).
    Without `aspp` two further levels of half the resolution each begin the pyramid. Between addition and smoothing
    there is no ReLU: the convolutions before them end in one.
    """

    def __init__(
        self,
        backbone: Backbone,
        channels: int,
        *,
        width: float = 1.0,
        fpn_channels: int = 256,
        first_stride: int = 0,
        aspp: bool = True,
        dilations: tuple[int, ...] = (6, 12, 18),
        smooth_in_loop: bool = True,
        enlarge_by: Enlarge = "bilinear",
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        last, group = backbone.levels[-1], backbone.group_width
        first = first_stride or last.stride // 8
        self.taps = backbone.between(first, last.stride)
        self.divisor = last.stride if aspp else 4 * last.stride
        inner = width_of(fpn_channels, width, group)
        sides = [backbone.levels[tap].channels for tap in self.taps[:-1]]
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
        self.sides = nn.ModuleList([conv(side, inner) for side in reversed(sides)])
        self.enlarge = nn.ModuleList([enlarge(2, inner, enlarge_by, group) for _ in sides])
        self.smooth = nn.ModuleList(
            [
                separable(inner, inner, group) if smooth_in_loop or i == len(sides) - 1 else nn.Identity()
                for i in range(len(sides))
            ]
        )
        self.predict = prediction(inner, channels, group)
        self.restore = enlarge(first, channels, enlarge_by)
        self.last = (self.predict[-1], self.restore)

    def forward(self, *levels: Tensor) -> Tensor:
        maps = list(levels)
        for halve in self.extra:
            maps.append(halve(maps[-1]))
        x = self.top(maps.pop())
        for side, grow, smooth, level in zip(
            self.sides, self.enlarge, self.smooth, reversed(maps), strict=True
        ):
            x = smooth(grow(x) + side(level))
        out: Tensor = self.restore(self.predict(x))
        return out
