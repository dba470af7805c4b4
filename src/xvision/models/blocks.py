"""What decoders are built of: convolutions with norm and ReLU, the lite 3x3 convolution, upsampling.

Lite rule: a 3x3 convolution is depthwise, or grouped with the group width of the encoder where that is grouped
(RegNetX), and followed by a 1x1 convolution. `group_width` is the number of channels in a group: 1 is depthwise.

What the original's costs leave open is chosen for int8. Convolutions whose maps are concatenated or added end in a ReLU
(those after a learned upsampling do not): the map's one quantizer stands after it, and all 256 codes are for values
that occur.
Resizes have half-pixel centres (`align_corners=False`): their factor is a power of two at every size, a constant in the
file, and so are the weights of the interpolation; with aligned corners it is (H - 1) / (2 H - 1).
"""

from __future__ import annotations

from typing import Literal

import torch
from timm.layers import make_divisible
from torch import nn

UpsampleMode = Literal["bilinear", "nearest", "transposed", "conv", "depthwise_conv", "pixel_shuffle"]
"""How a map is upsampled: interpolated, interpolated and then convolved, or by learned kernels."""


def scaled_channels(channels: int, ratio: float, group_width: int) -> int:
    """`channels` times `ratio`, a multiple of 8 (never below 90 %) and of the group width.

    >>> [scaled_channels(256, *args) for args in ((1.0, 1), (1.4, 1), (1.0, 24), (1.0, 48))]
    [256, 360, 264, 288]
    """
    rounded = int(make_divisible(channels * ratio, 8))
    return -(-rounded // group_width) * group_width


def conv(
    in_channels: int, out_channels: int, kernel: int = 1, *, stride: int = 1, dilation: int = 1, group_width: int = 0,
    act: bool = True,
) -> nn.Sequential:  # fmt: skip
    """A convolution without bias, batch norm and (with `act`) ReLU.

    `group_width` is the least number of channels in a group, 0 a full convolution.
    """
    groups = in_channels // group_width if group_width else 1
    while in_channels % groups or out_channels % groups:
        groups -= 1
    layer = nn.Conv2d(
        in_channels, out_channels, kernel, stride, dilation * (kernel // 2), dilation, groups, bias=False
    )
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(layer, nn.BatchNorm2d(out_channels), *([nn.ReLU(inplace=True)] if act else []))


def separable(
    in_channels: int,
    out_channels: int,
    group_width: int,
    *,
    stride: int = 1,
    dilation: int = 1,
    act: bool = True,
) -> nn.Sequential:
    """The lite 3x3 convolution: grouped 3x3 and 1x1, each with batch norm and ReLU (`act`: the last one too)."""
    grouped = conv(in_channels, in_channels, 3, stride=stride, dilation=dilation, group_width=group_width)
    return nn.Sequential(grouped, conv(in_channels, out_channels, act=act))


def prediction(in_channels: int, out_channels: int, group_width: int) -> nn.Sequential:
    """The last layers of a map: grouped 3x3 with batch norm and no ReLU, then 1x1 with bias to raw outputs."""
    last = nn.Conv2d(in_channels, out_channels, 1)
    nn.init.normal_(last.weight, 0, 0.01)
    assert last.bias is not None
    nn.init.zeros_(last.bias)
    return nn.Sequential(conv(in_channels, in_channels, 3, group_width=group_width, act=False), last)


def upsample(factor: int, channels: int, mode: UpsampleMode, group_width: int = 1) -> nn.Module:
    """Upsample a map by a power of two, in steps of 4 and 2: large kernels and factors are what devices lack.

    Raises: ValueError if `factor` is no power of two.
    """
    if factor < 1 or factor & (factor - 1):
        raise ValueError(f"decoder: expected to upsample by a power of two, got {factor}")
    steps = []
    while factor > 1:
        step = 4 if factor >= 4 else 2
        steps.append(_upsample_once(step, channels, mode, group_width))
        factor //= step
    return steps[0] if len(steps) == 1 else nn.Sequential(*steps)


def _upsample_once(factor: int, channels: int, mode: UpsampleMode, group_width: int) -> nn.Module:
    if mode == "nearest":
        return nn.Upsample(scale_factor=factor, mode="nearest")
    if mode == "transposed":
        return _transposed(factor, channels)
    if mode == "pixel_shuffle":
        return nn.Sequential(nn.Conv2d(channels, channels * factor**2, 1), nn.PixelShuffle(factor))
    bilinear = nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=False)
    if mode == "bilinear":
        return bilinear
    after = {
        "conv": conv(channels, channels, 3, act=False),
        "depthwise_conv": conv(channels, channels, 3, group_width=group_width, act=False),
    }
    return nn.Sequential(bilinear, after[mode])


def _transposed(factor: int, channels: int) -> nn.ConvTranspose2d:
    """A depthwise transposed convolution that begins as bilinear interpolation."""
    layer = nn.ConvTranspose2d(
        channels, channels, 2 * factor, factor, factor // 2, groups=channels, bias=False
    )
    ramp = 1 - (torch.arange(2 * factor) + 0.5 - factor).abs() / factor
    with torch.no_grad():
        layer.weight.copy_((ramp.view(-1, 1) * ramp).expand_as(layer.weight))
    return layer
