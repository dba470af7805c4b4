"""The original system's networks for maps: segmentation, depth, motion.

Names say decoder, backbone and variant: `aspp` at the bottom of the pyramid, `fd` fast-down (one more halving after the
stem: half the cost of the same image), `1p4` and `p5` widths, `bgr` for a camera pipeline that delivers BGR.
"""

from __future__ import annotations

from typing import Literal

from xvision.config.parts import Part
from xvision.models.backbones import backbone
from xvision.models.decoders import decoder
from xvision.models.presets import preset
from xvision.models.settings import Net

STRIDE_16 = (2, 2, 2, 2, 1)  # the last stage does not halve
_REFINED = decoder.deeplabv3plus_lite(num_refine=2, dropout=0.1)


@preset
def deeplabv3plus_mobilenetv2_tv_edgeailite() -> Net:
    """DeepLabV3+Lite on MobileNetV2 at stride 16, 3.545 GMACs at 384x768 with 19 classes, 2.43 M parameters."""
    return Net(backbone=_mobilenetv2(strides=STRIDE_16), decoder=decoder.deeplabv3plus_lite())


@preset
def deeplabv3plus_mobilenetv2_tv_fd_edgeailite() -> Net:
    """DeepLabV3+Lite on fast-down MobileNetV2, 3.736 GMACs at 768x1536 with 19 classes."""
    return Net(backbone=_mobilenetv2(strides=STRIDE_16, fast_down=True), decoder=decoder.deeplabv3plus_lite())


@preset
def deeplabv3plus_mobilenetv2_tv_1p4_edgeailite() -> Net:
    """DeepLabV3+Lite on MobileNetV2 of 1.4 times the width, with ReLU6 in the backbone."""
    return Net(backbone=_wide_mobilenetv2(strides=STRIDE_16), decoder=decoder.deeplabv3plus_lite(width=1.4))


@preset
def deeplabv3plus_resnet50_edgeailite() -> Net:
    """DeepLabV3+Lite on ResNet-50 at stride 16, 39.64 GMACs at 384x768 with 19 classes, 25.96 M parameters."""
    return Net(backbone=_resnet50(strides=STRIDE_16), decoder=decoder.deeplabv3plus_lite())


@preset
def deeplabv3plus_resnet50_p5_edgeailite() -> Net:
    """DeepLabV3+Lite on ResNet-50 of half the width, 11.11 GMACs at 384x768, 7.26 M parameters."""
    return Net(backbone=_resnet50(width=0.5, strides=STRIDE_16), decoder=decoder.deeplabv3plus_lite())


@preset
def deeplabv3plus_resnet50_p5_fd_edgeailite() -> Net:
    """DeepLabV3+Lite on fast-down ResNet-50 of half the width."""
    return Net(
        backbone=_resnet50(width=0.5, strides=STRIDE_16, fast_down=True),
        decoder=decoder.deeplabv3plus_lite(),
    )


@preset
def deeplabv3plus_regnetx800mf_edgeailite() -> Net:
    """DeepLabV3+Lite on RegNetX-800MF at stride 16."""
    return Net(backbone=_regnetx("008", strides=STRIDE_16), decoder=decoder.deeplabv3plus_lite())


@preset
def deeplabv3plus_regnetx800mf_bgr_edgeailite() -> Net:
    """DeepLabV3+Lite on RegNetX-800MF at stride 16, BGR pixels."""
    return Net(
        backbone=_regnetx("008", strides=STRIDE_16), decoder=decoder.deeplabv3plus_lite(), pixels="bgr"
    )


@preset
def unet_aspp_mobilenetv2_tv_edgeailite() -> Net:
    """UNet-Lite with ASPP on MobileNetV2, 2.204 GMACs at 384x768 with 19 classes, 2.47 M parameters."""
    return Net(backbone=_mobilenetv2(), decoder=decoder.unet_lite())


@preset
def unet_aspp_mobilenetv2_tv_fd_edgeailite() -> Net:
    """UNet-Lite with ASPP on fast-down MobileNetV2, 2.395 GMACs at 768x1536 with 19 classes."""
    return Net(backbone=_mobilenetv2(fast_down=True), decoder=decoder.unet_lite())


@preset
def unet_aspp_resnet50_edgeailite() -> Net:
    """UNet-Lite with ASPP on ResNet-50."""
    return Net(backbone=_resnet50(), decoder=decoder.unet_lite())


@preset
def unet_aspp_resnet50_fd_edgeailite() -> Net:
    """UNet-Lite with ASPP on fast-down ResNet-50, from stride 2: the stem and its pool are levels, too."""
    return Net(backbone=_resnet50(fast_down=True), decoder=decoder.unet_lite(first_stride=2))


@preset
def unet_aspp_regnetx800mf_edgeailite() -> Net:
    """UNet-Lite with ASPP on RegNetX-800MF, 8.402 GMACs at 384x768 with 19 classes."""
    return Net(backbone=_regnetx("008"), decoder=decoder.unet_lite())


@preset
def unet_aspp_regnetx800mf_bgr_edgeailite() -> Net:
    """UNet-Lite with ASPP on RegNetX-800MF, 8.402 GMACs at 384x768 with 19 classes, BGR pixels."""
    return Net(backbone=_regnetx("008"), decoder=decoder.unet_lite(), pixels="bgr")


@preset
def fpn_aspp_mobilenetv2_tv_edgeailite() -> Net:
    """FPN-Lite with ASPP on MobileNetV2, 3.767 GMACs at 384x768 with 19 classes, 2.67 M parameters."""
    return Net(backbone=_mobilenetv2(), decoder=decoder.fpn_lite())


@preset
def fpn_aspp_mobilenetv2_tv_fd_edgeailite() -> Net:
    """FPN-Lite with ASPP on fast-down MobileNetV2, 3.958 GMACs at 768x1536 with 19 classes."""
    return Net(backbone=_mobilenetv2(fast_down=True), decoder=decoder.fpn_lite())


@preset
def fpn_aspp_mobilenetv2_1p4_tv_edgeailite() -> Net:
    """FPN-Lite with ASPP on MobileNetV2 of 1.4 times the width, 6.536 GMACs at 512x512, 32 classes."""
    return Net(backbone=_wide_mobilenetv2(), decoder=decoder.fpn_lite(width=1.4))


@preset
def fpn128_aspp_mobilenetv2_tv_fd_edgeailite() -> Net:
    """FPN-Lite of 128 channels with ASPP on fast-down MobileNetV2, 4.124 GMACs at 768x1536."""
    return Net(
        backbone=_mobilenetv2(fast_down=True), decoder=decoder.fpn_lite(fpn_channels=128, first_stride=4)
    )


@preset
def fpn_mobilenetv2_tv_edgeailite() -> Net:
    """FPN-Lite without ASPP, with two further levels, on MobileNetV2."""
    return Net(backbone=_mobilenetv2(), decoder=decoder.fpn_lite(aspp=False))


@preset
def fpn_mobilenetv2_tv_fd_edgeailite() -> Net:
    """FPN-Lite without ASPP, with two further levels, on fast-down MobileNetV2."""
    return Net(backbone=_mobilenetv2(fast_down=True), decoder=decoder.fpn_lite(aspp=False))


@preset
def fpn_aspp_resnet50_edgeailite() -> Net:
    """FPN-Lite with ASPP on ResNet-50, 28.52 GMACs at 384x768 with one output."""
    return Net(backbone=_resnet50(), decoder=decoder.fpn_lite())


@preset
def fpn_aspp_resnet50_fd_edgeailite() -> Net:
    """FPN-Lite with ASPP on fast-down ResNet-50."""
    return Net(backbone=_resnet50(fast_down=True), decoder=decoder.fpn_lite())


@preset
def fpn_aspp_regnetx400mf_edgeailite() -> Net:
    """FPN-Lite with ASPP on RegNetX-400MF, 6.092 GMACs at 384x768 with 19 classes, 6.02 M parameters."""
    return Net(backbone=_regnetx("004"), decoder=decoder.fpn_lite())


@preset
def fpn_aspp_regnetx400mf_bgr_edgeailite() -> Net:
    """FPN-Lite with ASPP on RegNetX-400MF, 6.092 GMACs at 384x768 with 19 classes, 6.02 M parameters, BGR pixels."""
    return Net(backbone=_regnetx("004"), decoder=decoder.fpn_lite(), pixels="bgr")


@preset
def fpn_aspp_regnetx800mf_edgeailite() -> Net:
    """FPN-Lite with ASPP on RegNetX-800MF, 8.838 GMACs at 384x768 with 19 classes, 8.31 M parameters."""
    return Net(backbone=_regnetx("008"), decoder=decoder.fpn_lite())


@preset
def fpn_aspp_regnetx800mf_bgr_edgeailite() -> Net:
    """FPN-Lite with ASPP on RegNetX-800MF, 8.838 GMACs at 384x768 with 19 classes, 8.31 M parameters, BGR pixels."""
    return Net(backbone=_regnetx("008"), decoder=decoder.fpn_lite(), pixels="bgr")


@preset
def fpn_aspp_regnetx1p6gf_edgeailite() -> Net:
    """FPN-Lite with ASPP on RegNetX-1.6GF, 26.37 GMACs at 512x1024 with 19 classes, 10.74 M parameters."""
    return Net(backbone=_regnetx("016"), decoder=decoder.fpn_lite())


@preset
def fpn_aspp_regnetx1p6gf_bgr_edgeailite() -> Net:
    """FPN-Lite with ASPP on RegNetX-1.6GF, 26.37 GMACs at 512x1024 with 19 classes, 10.74 M parameters, BGR pixels."""
    return Net(backbone=_regnetx("016"), decoder=decoder.fpn_lite(), pixels="bgr")


@preset
def fpn_aspp_regnetx3p2gf_edgeailite() -> Net:
    """FPN-Lite with ASPP on RegNetX-3.2GF, 49.40 GMACs at 512x1024 with 19 classes, 18.06 M parameters."""
    return Net(backbone=_regnetx("032"), decoder=decoder.fpn_lite())


@preset
def fpn_aspp_regnetx3p2gf_bgr_edgeailite() -> Net:
    """FPN-Lite with ASPP on RegNetX-3.2GF, 49.40 GMACs at 512x1024 with 19 classes, 18.06 M parameters, BGR pixels."""
    return Net(backbone=_regnetx("032"), decoder=decoder.fpn_lite(), pixels="bgr")


@preset
def bifpn_aspp_mobilenetv2_tv_edgeailite() -> Net:
    """BiFPN-Lite with ASPP on MobileNetV2."""
    return Net(backbone=_mobilenetv2(), decoder=decoder.bifpn_lite())


@preset
def bifpn_mobilenetv2_tv_edgeailite() -> Net:
    """BiFPN-Lite without ASPP on MobileNetV2."""
    return Net(backbone=_mobilenetv2(), decoder=decoder.bifpn_lite(aspp=False))


@preset
def bifpn_aspp_regnetx400mf_edgeailite() -> Net:
    """BiFPN-Lite with ASPP on RegNetX-400MF."""
    return Net(backbone=_regnetx("004"), decoder=decoder.bifpn_lite())


@preset
def bifpn_aspp_regnetx400mf_bgr_edgeailite() -> Net:
    """BiFPN-Lite with ASPP on RegNetX-400MF, BGR pixels."""
    return Net(backbone=_regnetx("004"), decoder=decoder.bifpn_lite(), pixels="bgr")


@preset
def bifpn_aspp_regnetx800mf_edgeailite() -> Net:
    """BiFPN-Lite with ASPP on RegNetX-800MF."""
    return Net(backbone=_regnetx("008"), decoder=decoder.bifpn_lite())


@preset
def bifpn_aspp_regnetx800mf_bgr_edgeailite() -> Net:
    """BiFPN-Lite with ASPP on RegNetX-800MF, BGR pixels."""
    return Net(backbone=_regnetx("008"), decoder=decoder.bifpn_lite(), pixels="bgr")


@preset
def bifpn_aspp_regnetx1p6gf_edgeailite() -> Net:
    """BiFPN-Lite with ASPP on RegNetX-1.6GF."""
    return Net(backbone=_regnetx("016"), decoder=decoder.bifpn_lite(fpn_channels=168))


@preset
def bifpn_aspp_regnetx1p6gf_bgr_edgeailite() -> Net:
    """BiFPN-Lite with ASPP on RegNetX-1.6GF, BGR pixels."""
    return Net(backbone=_regnetx("016"), decoder=decoder.bifpn_lite(fpn_channels=168), pixels="bgr")


@preset
def bifpn_aspp_regnetx3p2gf_edgeailite() -> Net:
    """BiFPN-Lite with ASPP on RegNetX-3.2GF."""
    return Net(backbone=_regnetx("032"), decoder=decoder.bifpn_lite(fpn_channels=192))


@preset
def bifpn_aspp_regnetx3p2gf_bgr_edgeailite() -> Net:
    """BiFPN-Lite with ASPP on RegNetX-3.2GF, BGR pixels."""
    return Net(backbone=_regnetx("032"), decoder=decoder.bifpn_lite(fpn_channels=192), pixels="bgr")


@preset
def lraspp_mobilenet_v3_large_lite() -> Net:
    """LR-ASPP on MobileNetV3 Large with ReLU and without squeeze-excite, dilated at stride 16."""
    return Net(backbone=_mobilenetv3_lite(), decoder=decoder.lraspp_lite())


@preset
def deeplabv3_mobilenet_v3_large_lite() -> Net:
    """DeepLabV3 with lite convolutions on MobileNetV3 Large, ReLU and no squeeze-excite, dilated at stride 16."""
    return Net(backbone=_mobilenetv3_lite(), decoder=decoder.deeplabv3_lite())


@preset
def deeplabv3_mobilenet_v2_lite() -> Net:
    """DeepLabV3 with lite convolutions on MobileNetV2 with ReLU, dilated at stride 16."""
    return Net(backbone=_mobilenetv2(output_stride=16), decoder=decoder.deeplabv3_lite())


@preset
def deeplabv3plus_mobilenet_v3_large_lite() -> Net:
    """DeepLabV3+Lite with two refining convolutions on MobileNetV3 Large, no squeeze-excite, dilated at stride 16."""
    return Net(backbone=_mobilenetv3_lite(), decoder=_REFINED)


@preset
def deeplabv3plus_mobilenet_v2_lite() -> Net:
    """DeepLabV3+Lite with two refining convolutions on MobileNetV2 with ReLU, dilated at stride 16."""
    return Net(backbone=_mobilenetv2(output_stride=16), decoder=_REFINED)


def _mobilenetv2(strides: tuple[int, ...] = (), fast_down: bool = False, output_stride: int = 32) -> Part:
    return backbone.timm(
        model="mobilenetv2_100", act="relu", strides=strides, fast_down=fast_down, output_stride=output_stride
    )


def _mobilenetv3_lite() -> Part:
    return backbone.timm(
        model="mobilenetv3_large_100", act="relu", squeeze_excite=False, norm_eps=1e-3, output_stride=16
    )


def _wide_mobilenetv2(strides: tuple[int, ...] = ()) -> Part:
    return backbone.timm(model="mobilenetv2_140", strides=strides)


def _resnet50(width: float = 1.0, strides: tuple[int, ...] = (), fast_down: bool = False) -> Part:
    return backbone.timm(model="resnet50", width=width, strides=strides, fast_down=fast_down)


def _regnetx(size: Literal["004", "008", "016", "032"], strides: tuple[int, ...] = ()) -> Part:
    return backbone.timm(model=f"regnetx_{size}", strides=strides)
