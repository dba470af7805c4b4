"""MobileNetV3 Large for int8 with a halved tail, which timm has no argument for."""

from __future__ import annotations

from functools import partial

from timm.models import MobileNetV3
from timm.models._efficientnet_builder import decode_arch_def, round_channels
from torch import nn

from xvision.models.backbone import Backbone, assemble
from xvision.models.backbones import backbone

# Table 1 of the paper, a stage a line: repeats, kernel, stride, expansion, channels.
STAGES = (
    ["ds_r1_k3_s1_c16"],
    ["ir_r1_k3_s2_e4_c24", "ir_r1_k3_s1_e3_c24"],
    ["ir_r3_k5_s2_e3_c40"],
    ["ir_r1_k3_s2_e6_c80", "ir_r1_k3_s1_e2.5_c80", "ir_r2_k3_s1_e2.3_c80"],
    ["ir_r2_k3_s1_e6_c112"],
)


@backbone
def mobilenetv3_lite(
    channels: int,
    size: tuple[int, int],
    *,
    width: float = 1.0,
    reduced_tail: bool = False,
    strides: tuple[int, ...] = (),
    output_stride: int = 32,
    fast_down: bool = False,
) -> Backbone:
    """MobileNetV3 Large (Howard et al., 2019) for int8: ReLU, no squeeze-excite, any width.

    `reduced_tail` halves the channels of the last stage and of the head (torchvision's name for it).
    """
    half = 2 if reduced_tail else 1
    tail = ([f"ir_r3_k5_s2_e6_c{160 // half}"], [f"cn_r1_k1_s1_c{960 // half}"])
    rounded = partial(round_channels, multiplier=width)
    network = MobileNetV3(
        block_args=decode_arch_def([*STAGES, *tail]),
        in_chans=channels,
        stem_size=16,
        num_features=rounded(1280 // half),
        round_chs_fn=rounded,
        norm_layer=partial(nn.BatchNorm2d, eps=1e-3),
        act_layer=nn.ReLU,
    )
    name = f"mobilenetv3_lite (width {width:g}{', reduced tail' if reduced_tail else ''})"
    return assemble(
        name, network, channels, strides=strides, output_stride=output_stride, fast_down=fast_down
    )
