"""ResNet-9: its levels, its cost by hand, and that its strides can be set."""

from __future__ import annotations

from tests.models.outputs import outputs_by_task
from xvision.graph.cost import count
from xvision.models.backbone import Level
from xvision.models.backbones import backbone
from xvision.models.build import build_model
from xvision.models.decoders import decoder
from xvision.models.settings import Net


def test_levels_are_those_of_the_source() -> None:
    built = backbone.resnet9().build(3, (32, 32))
    assert built.levels == (Level(64, 1), Level(128, 2), Level(256, 4), Level(512, 8))
    assert backbone.resnet9(strides=(1, 2, 2)).build(3, (32, 32)).levels[-1].stride == 4


def test_cost_is_what_a_count_by_hand_gives() -> None:
    net = Net(backbone=backbone.resnet9(widths=(16, 32, 96, 192)), decoder=decoder.classifier())
    weights = 9 * (3 * 16 + 16 * 32), 9 * (2 * 32 * 32 + 32 * 96), 9 * 96 * 192, 9 * 2 * 192 * 192, 192 * 10
    macs = sum(w * pixels for w, pixels in zip(weights, (32 * 32, 16 * 16, 8 * 8, 4 * 4, 1), strict=True))
    assert count(build_model(net, outputs_by_task({"class": 10}), (32, 32)), (32, 32)).macs == macs
