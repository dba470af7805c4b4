"""The original system's ShuffleNetV2."""

from __future__ import annotations

from xvision.models.backbones import backbone
from xvision.models.decoders import decoder
from xvision.models.presets import preset
from xvision.models.settings import Net


@preset
def shufflenetv2_x1p0() -> Net:
    """ShuffleNetV2 (Ma et al., 2018), 0.145 GMACs, 2.28 M parameters."""
    return Net(backbone=backbone.torchvision(model="shufflenet_v2_x1_0"), decoder=decoder.classifier())


@preset
def shufflenetv2_x1p5() -> Net:
    """ShuffleNetV2 of 1.5 times the width, 0.296 GMACs, 3.50 M parameters."""
    return Net(backbone=backbone.torchvision(model="shufflenet_v2_x1_5"), decoder=decoder.classifier())
