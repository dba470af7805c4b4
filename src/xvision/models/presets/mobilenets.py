"""The original system's MobileNets. ReLU throughout where it has ReLU: int8 ranges are found more easily."""

from __future__ import annotations

from xvision.models.backbones import backbone
from xvision.models.decoders import decoder
from xvision.models.presets import preset
from xvision.models.settings import Net


@preset
def mobilenetv1_x1() -> Net:
    """MobileNetV1 (Howard et al., 2017), 0.569 GMACs, 4.23 M parameters."""
    return Net(backbone=backbone.timm(model="mobilenetv1_100", act="relu"), decoder=decoder.classifier())


@preset
def mobilenetv2_tv_x1() -> Net:
    """MobileNetV2 (Sandler et al., 2018) with ReLU, 0.301 GMACs, 3.50 M parameters."""
    return Net(
        backbone=backbone.timm(model="mobilenetv2_100", act="relu"), decoder=decoder.classifier(dropout=0.2)
    )


@preset
def mobilenetv2_tv_x2_t2() -> Net:
    """MobileNetV2 of twice the width and a third of the expansion, with ReLU."""
    return Net(
        backbone=backbone.mobilenetv2(width=2.0, expansion=2.0), decoder=decoder.classifier(dropout=0.2)
    )


@preset
def mobilenetv2_1p4() -> Net:
    """MobileNetV2 of 1.4 times the width, with ReLU6, 0.582 GMACs, 6.11 M parameters."""
    return Net(backbone=backbone.timm(model="mobilenetv2_140"), decoder=decoder.classifier(dropout=0.2))


@preset
def mobilenetv3_small_x1() -> Net:
    """MobileNetV3 Small (Howard et al., 2019), with squeeze-excite and hard swish."""
    return _mobilenetv3("mobilenetv3_small_100")


@preset
def mobilenetv3_large_x1() -> Net:
    """MobileNetV3 Large (Howard et al., 2019), with squeeze-excite and hard swish."""
    return _mobilenetv3("mobilenetv3_large_100")


@preset
def mobilenetv3_lite_small_x1() -> Net:
    """MobileNetV3 Small for int8: ReLU, no squeeze-excite, 0.056 GMACs, 2.08 M parameters."""
    return _mobilenetv3_lite("mobilenetv3_small_100")


@preset
def mobilenetv3_lite_large_x1() -> Net:
    """MobileNetV3 Large for int8: ReLU, no squeeze-excite, 0.215 GMACs, 3.97 M parameters."""
    return _mobilenetv3_lite("mobilenetv3_large_100")


@preset
def mobilenetv3_lite_large_x2r() -> Net:
    """MobileNetV3 Large for int8 of twice the width with a halved tail, 0.679 GMACs, 5.54 M parameters."""
    wide = backbone.mobilenetv3_lite(width=2.0, reduced_tail=True)
    return Net(backbone=wide, decoder=decoder.classifier(dropout=0.2))


def _mobilenetv3(model: str) -> Net:
    return Net(backbone=backbone.timm(model=model, norm_eps=1e-3), decoder=decoder.classifier(dropout=0.2))


def _mobilenetv3_lite(model: str) -> Net:
    lite = backbone.timm(model=model, act="relu", squeeze_excite=False, norm_eps=1e-3)
    return Net(backbone=lite, decoder=decoder.classifier(dropout=0.2))
