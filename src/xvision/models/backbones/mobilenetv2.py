"""MobileNetV2 with a free expansion, which timm has no argument for."""

from __future__ import annotations

from functools import partial
from typing import Literal

from timm.models import EfficientNet
from timm.models._efficientnet_builder import decode_arch_def, round_channels
from torch import nn

from xvision.models.backbone import Backbone, assemble
from xvision.models.backbones import backbone
from xvision.models.variants import set_activation


@backbone
def mobilenetv2(
    channels: int,
    size: tuple[int, int],
    *,
    width: float = 1.0,
    expansion: float = 6.0,
    act: Literal["relu", "relu6"] = "relu",
    strides: tuple[int, ...] = (),
    output_stride: int = 32,
    fast_down: bool = False,
) -> Backbone:
    """MobileNetV2 (Sandler et al., 2018, table 2) of any width and expansion.

    The stages are timm's (its weights of the same width and expansion fit); channels are rounded to multiples of
    8, never below 90 %. The last layer has at least 1280 channels.
    """
    first, rest = (
        "ds_r1_k3_s1_c16",
        ((2, 2, 24), (3, 2, 32), (4, 2, 64), (3, 1, 96), (3, 2, 160), (1, 1, 320)),
    )
    stages = [[first], *([f"ir_r{n}_k3_s{s}_e{expansion:g}_c{c}"] for n, s, c in rest)]
    rounded = partial(round_channels, multiplier=width)
    network = EfficientNet(
        block_args=decode_arch_def(stages),
        in_chans=channels,
        num_features=max(1280, rounded(1280)),
        stem_size=32,
        round_chs_fn=rounded,
        norm_layer=nn.BatchNorm2d,
        act_layer=nn.ReLU6,
    )
    name = f"mobilenetv2 (width {width:g}, expansion {expansion:g})"
    if act != "relu6":
        set_activation(network, name, act)
    return assemble(
        name, network, channels, strides=strides, output_stride=output_stride, fast_down=fast_down
    )
