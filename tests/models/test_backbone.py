"""What holds for every backbone, and what a decoder may rely on."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch

from xvision.graph.trace import trace
from xvision.models.backbone import Backbone, Level
from xvision.models.backbones import backbone

IMAGE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 4 - 2

FAMILIES = [
    {"timm": {"model": "mobilenetv1_100"}},
    {"timm": {"model": "mobilenetv3_small_100"}},
    {"timm": {"model": "resnet18d"}},
    {"timm": {"model": "regnety_004"}},
    {"timm": {"model": "tf_efficientnet_lite0"}},
    {"timm": {"model": "vgg11_bn"}},
    {"timm": {"model": "repvit_m0_9"}},
    {"timm": {"model": "lcnet_050"}},
    {"torchvision": {"model": "shufflenet_v2_x0_5"}},
    {"mobilenetv2": {"width": 0.5, "expansion": 4.0}},
    {"mobilenetv3_lite": {"width": 0.5, "reduced_tail": True}},
    {"resnet9": {"widths": (16, 32, 64, 128)}},
]
DEEPEST = {"resnet9": 8}  # the deepest stride, where it is not 32


def build(part: dict[str, dict[str, Any]], channels: int = 3, size: tuple[int, int] = (64, 64)) -> Backbone:
    ((name, settings),) = part.items()
    built = backbone.part(name, settings).build(channels, size)
    assert isinstance(built, Backbone)
    return built


def name_of(part: dict[str, dict[str, Any]]) -> str:
    ((name, settings),) = part.items()
    return str(settings.get("model", name))


def test_every_family_is_tested() -> None:
    assert {name for part in FAMILIES for name in part} == set(backbone.builders())


@pytest.mark.parametrize("part", FAMILIES, ids=name_of)
def test_levels_and_logits_come_from_one_graph(part: dict[str, dict[str, Any]]) -> None:
    built = build(part)
    strides = [level.stride for level in built.levels]
    assert strides == sorted(strides)
    deepest = DEEPEST.get(name_of(part), 32)
    assert strides[-1] == deepest
    assert built.classify(5)
    features = (built.last(8), "logits", built.last(deepest))
    module = built.graph(features).eval()
    with torch.no_grad():
        mid, scores, last = module(IMAGE)
        assert all(map(torch.equal, trace(module)(IMAGE), (mid, scores, last)))
    assert scores.shape == (2, 5)
    for tap, features in ((built.last(8), mid), (built.last(deepest), last)):
        level = built.levels[tap]  # type: ignore[index]
        assert features.shape == (2, level.channels, 64 // level.stride, 64 // level.stride)


@pytest.mark.parametrize("part", FAMILIES, ids=name_of)
def test_small_images_keep_their_resolution(part: dict[str, dict[str, Any]]) -> None:
    ((name, settings),) = part.items()
    strides = (1, 1, 1, 2, 2) if name_of(part) not in DEEPEST else (1, 2, 2)
    built = build({name: {**settings, "strides": strides}})
    assert built.levels[-1].stride == 4
    (last,) = built.graph([len(built.levels) - 1])(IMAGE[..., :32, :32])
    assert last.shape[-2:] == (8, 8)


@pytest.mark.parametrize("part", FAMILIES, ids=name_of)
def test_fast_down_halves_once_more(part: dict[str, dict[str, Any]]) -> None:
    ((name, settings),) = part.items()
    built = build({name: {**settings, "fast_down": True}})
    deepest = 2 * DEEPEST.get(name_of(part), 32)
    assert built.levels[-1].stride == deepest
    (last,) = built.graph([built.last(deepest)])(IMAGE)
    assert last.shape[-2:] == (64 // deepest, 64 // deepest)


@pytest.mark.parametrize("part", FAMILIES, ids=name_of)
def test_gray_images_have_one_channel(part: dict[str, dict[str, Any]]) -> None:
    module = build(part, channels=1).graph([0])
    assert module(IMAGE[:, :1])[0].shape[0] == 2


@pytest.mark.parametrize("model", ["mobilenetv2_100", "resnet18", "regnetx_004"])
def test_outputs_and_names_are_timms(model: str) -> None:
    theirs = timm.create_model(model).eval()
    built = build({"timm": {"model": model}})
    module = built.graph([*range(len(built.levels)), "logits"]).eval()
    module.load_state_dict(theirs.state_dict(), strict=True)
    with torch.no_grad():
        *levels, logits = module(IMAGE)
        assert torch.equal(logits, theirs(IMAGE))
        for mine, other in zip(
            levels, theirs.forward_intermediates(IMAGE, intermediates_only=True), strict=True
        ):
            assert torch.equal(mine, other)


def test_what_is_not_asked_for_is_left_out() -> None:
    built = build({"timm": {"model": "mobilenetv2_100"}})
    module = built.graph([built.last(8)])
    assert built.levels[built.last(8)] == Level(32, 8)
    names = set(module.state_dict())
    assert "blocks.2.2.conv_pwl.weight" in names
    assert not any(name.startswith(("blocks.3", "classifier", "conv_head")) for name in names)
    only = module.train()(IMAGE)[0].sum()
    only.backward()
    assert all(p.grad is not None for p in module.parameters())


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize(
    "model", ["resnet18", "mobilenetv2_100", "regnetx_004", "tf_efficientnet_lite0", "efficientnet_b0"]
)
def test_output_stride_dilates_as_timm_does_where_it_can(model: str, stride: int) -> None:
    theirs = timm.create_model(model, output_stride=stride).eval()
    built = build({"timm": {"model": model, "output_stride": stride}})
    assert max(level.stride for level in built.levels) == stride
    mine = built.graph(range(len(built.levels))).eval()
    mine.load_state_dict({key: theirs.state_dict()[key] for key in mine.state_dict()})
    with torch.no_grad():
        levels = theirs.forward_intermediates(IMAGE, intermediates_only=True)
        assert all(torch.equal(a, b) for a, b in zip(mine(IMAGE), levels, strict=True))


@pytest.mark.parametrize("part", FAMILIES, ids=name_of)
def test_output_stride_dilates_every_family(part: dict[str, dict[str, Any]]) -> None:
    ((name, settings),) = part.items()
    stride = DEEPEST.get(name_of(part), 32) // 2
    built = build({name: settings | {"output_stride": stride}})
    assert built.levels[-1].stride == stride
    # VGG's last layer alone comes after its last halving, a 1x1 convolution as wide as the image
    spaced = {m.dilation for m in built._whole.modules() if isinstance(m, torch.nn.Conv2d)}
    assert (2, 2) in spaced or "vgg" in name_of(part)


def test_a_network_of_one_size_is_built_for_it() -> None:
    built = build({"timm": {"model": "vit_tiny_patch16_224"}}, size=(64, 64))
    built.classify(3)
    assert {level.stride for level in built.levels} == {16}
    assert built.graph(["logits"])(IMAGE)[0].shape == (2, 3)


def test_dropout_follows_the_mode() -> None:
    for model in ("mobilenetv2_100", "resnet18", "regnetx_004"):
        built = build({"timm": {"model": model}})
        built.classify(10, dropout=0.5)
        module = built.graph(["logits"])
        dropouts = [m for m in module.modules() if isinstance(m, torch.nn.Dropout) and m.p]
        assert [m.p for m in dropouts] == [0.5]
        assert module(IMAGE)[0].shape == (2, 10)


def test_drop_path_is_random_in_training_only() -> None:
    built = build({"timm": {"model": "resnet18", "drop_path": 0.9}})
    module = built.graph(["logits"])
    module.eval()
    assert torch.equal(module(IMAGE)[0], module(IMAGE)[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "mobilenetv2_10"}, r"net\.backbone: timm has no network called 'mobilenetv2_10'; did you mean mob"),
        ({"model": "qqqqqq"}, r"timm has no network called 'qqqqqq'; timm\.list_models\(\) lists their names"),
        ({"model": "resnet18", "strides": (1, 2)}, r"strides: expected 5 numbers, each 1 or 2 \(resnet18 halves the"),
        ({"model": "resnet18", "strides": (1, 1, 1, 2, 4)}, r"expected 5 numbers, .* got \(1, 1, 1, 2, 4\)"),
        (
            {"model": "convnext_atto", "strides": (1, 1, 1, 2, 2)},
            r"strides: convnext_atto goes from 1/1 to 1/4 of the resolution in the single layer 'stem\.0'",
        ),
        ({"model": "hrnet_w18_small", "strides": (1, 1, 1, 2, 2)}, "hrnet_w18_small does not work at .* strides"),
        ({"model": "resnet18", "output_stride": 5}, "output_stride: expected 1, 2, 4, 8, 16 or 32, got 5"),
        ({"model": "vit_tiny_patch16_224", "output_stride": 8}, "vit_tiny_patch16_224 works at one size only"),
        (
            {"model": "resnet18", "strides": (2, 2, 1, 1, 1), "output_stride": 8},
            "output_stride: expected less than 4, the stride of resnet18, got 8; leave it out",
        ),
        ({"model": "fastvit_t8", "fast_down": True}, "fast_down: fastvit_t8 does not begin with a convolution"),
        ({"model": "mobilenetv2_100", "width": 0.5}, r"width: mobilenetv2_100 .*'blocks\.0\.0\.conv_dw' \(grouped"),
        ({"model": "resnet18", "width": -1.0}, "width: expected a factor above 0, got -1"),
        ({"model": "convnext_atto", "width": 0.5}, "width: convnext_atto has a layer that no width fits in general"),
        ({"model": "mobilenetv2_100", "squeeze_excite": False}, "mobilenetv2_100 has no squeeze-excite blocks"),
    ],
)  # fmt: skip
def test_what_a_network_cannot_do_is_said(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build({"timm": settings})


def test_a_missing_stride_is_said() -> None:
    built = build({"timm": {"model": "resnet18"}})
    with pytest.raises(
        ValueError, match="resnet18: expected a level of stride 64, it has 2, 4, 8, 16, 32; choose"
    ):
        built.last(64)
