"""The original system's ResNets, RegNetX and VGG."""

from __future__ import annotations

from typing import Literal

from xvision.models.backbones import backbone
from xvision.models.decoders import decoder
from xvision.models.presets import preset
from xvision.models.settings import Net


@preset
def resnet18_x1() -> Net:
    """ResNet-18 (He et al., 2016), 1.814 GMACs, 11.69 M parameters."""
    return _net("resnet18")


@preset
def resnet50_x1() -> Net:
    """ResNet-50 with the stride on its 3x3 convolutions, 4.089 GMACs, 25.56 M parameters."""
    return _net("resnet50")


@preset
def resnet50_xp5() -> Net:
    """ResNet-50 of half the width, 1.052 GMACs, 6.92 M parameters."""
    return Net(backbone=backbone.timm(model="resnet50", width=0.5), decoder=decoder.classifier())


@preset
def regnetx400mf_x1() -> Net:
    """RegNetX-400MF (Radosavovic et al., 2020), 0.398 GMACs, 5.16 M parameters."""
    return _net("regnetx_004")


@preset
def regnetx400mf_x1_bgr() -> Net:
    """RegNetX-400MF for a camera pipeline that delivers BGR."""
    return _net("regnetx_004", "bgr")


@preset
def regnetx800mf_x1() -> Net:
    """RegNetX-800MF, 0.800 GMACs, 7.26 M parameters."""
    return _net("regnetx_008")


@preset
def regnetx800mf_x1_bgr() -> Net:
    """RegNetX-800MF for a camera pipeline that delivers BGR."""
    return _net("regnetx_008", "bgr")


@preset
def regnetx1p6gf_x1() -> Net:
    """RegNetX-1.6GF, 1.603 GMACs, 9.19 M parameters."""
    return _net("regnetx_016")


@preset
def regnetx1p6gf_x1_bgr() -> Net:
    """RegNetX-1.6GF for a camera pipeline that delivers BGR."""
    return _net("regnetx_016", "bgr")


@preset
def regnetx3p2gf_x1() -> Net:
    """RegNetX-3.2GF, 3.177 GMACs, 15.30 M parameters."""
    return _net("regnetx_032")


@preset
def regnetx3p2gf_x1_bgr() -> Net:
    """RegNetX-3.2GF for a camera pipeline that delivers BGR."""
    return _net("regnetx_032", "bgr")


@preset
def vgg16_x1() -> Net:
    """VGG-16 (Simonyan and Zisserman, 2015), 15.47 GMACs, 138.4 M parameters."""
    return Net(backbone=backbone.timm(model="vgg16"), decoder=decoder.classifier(dropout=0.5))


def _net(model: str, pixels: Literal["rgb", "bgr"] = "rgb") -> Net:
    return Net(backbone=backbone.timm(model=model), decoder=decoder.classifier(), pixels=pixels)
