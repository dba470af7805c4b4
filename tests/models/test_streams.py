"""Two streams: on which networks they are joined where, and that everything around them works."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, fx, nn

from tests.models.outputs import outputs_by_task
from xvision.config.parts import Part
from xvision.graph.trace import trace
from xvision.models.backbone import Backbone, Published
from xvision.models.backbones import backbone
from xvision.models.build import build_model
from xvision.models.decoders import decoder
from xvision.models.inputs import Inputs
from xvision.models.settings import Net
from xvision.models.weights import load

INPUTS = ("image+previous", "image+flow", "image+flow+confidence")
# Channels and stride where the streams are joined. Of the original: MobileNetV2 24, ResNet50 64, RegNetX-800MF 64.
CUTS = {
    "mobilenetv2": (backbone.timm(model="mobilenetv2_100", act="relu"), 24, 4),
    "mobilenetv2_s16": (backbone.timm(model="mobilenetv2_100", strides=(2, 2, 2, 2, 1)), 24, 4),
    "mobilenetv2_dilated": (backbone.timm(model="mobilenetv2_100", output_stride=8), 24, 4),
    "mobilenetv2_fd": (backbone.timm(model="mobilenetv2_100", fast_down=True), 32, 4),
    "mobilenetv3": (backbone.timm(model="mobilenetv3_large_100"), 24, 4),
    "efficientnet_lite": (backbone.timm(model="efficientnet_lite0"), 24, 4),
    "resnet50": (backbone.timm(model="resnet50"), 64, 4),
    "resnet18_small_images": (backbone.timm(model="resnet18", strides=(1, 1, 2, 2, 2)), 64, 1),
    "resnet50_fd": (backbone.timm(model="resnet50", fast_down=True), 64, 4),
    "regnetx_400mf": (backbone.timm(model="regnetx_004"), 32, 4),
    "regnetx_800mf": (backbone.timm(model="regnetx_008"), 64, 4),
    "regnetx_1p6gf": (backbone.timm(model="regnetx_016"), 72, 4),
    "shufflenet": (backbone.torchvision(model="shufflenet_v2_x1_0"), 24, 4),
    "resnet9": (backbone.resnet9(), 256, 4),
    "vgg": (backbone.timm(model="vgg11_bn"), 128, 4),
    "convnext": (backbone.timm(model="convnext_atto"), 40, 4),
    "mobilenetv1": (backbone.timm(model="mobilenetv1_100"), 128, 4),
}  # fmt: skip


def net(part: Part, inputs: str, pixels: str = "rgb", head: Part | None = None) -> Net:
    return Net.model_validate(
        {"backbone": part, "decoder": head or decoder.classifier(), "inputs": inputs, "pixels": pixels}
    )


@pytest.mark.parametrize("case", CUTS.values(), ids=CUTS)
def test_streams_are_joined_at_a_quarter_of_the_resolution(case: tuple[Part, int, int]) -> None:
    part, channels, stride = case
    with torch.device("meta"):
        one, two = (
            build_model(net(part, inputs), outputs_by_task({"class": 3}), (64, 64))
            for inputs in ("image", INPUTS[0])
        )
    fuse = two.backbone.get_submodule("fuse")
    shapes: list[torch.Size] = []
    fuse.register_forward_hook(lambda module, args, out: shapes.append(out.shape))
    example = two.inputs.example((64, 64), batch=2, device="meta")
    assert two.train()(*example)["class"].shape == (2, 3)
    assert shapes == [(2, channels, 64 // stride, 64 // stride)]
    # Everything of one stream is there under its own name, and the other's stem under the same with a prefix.
    names = {key for key, _ in two.backbone.named_parameters()}
    assert {key for key, _ in one.backbone.named_parameters()} <= names
    stem = {key.removeprefix("previous_stem.") for key in names if key.startswith("previous_stem.")}
    assert stem
    assert stem <= names


@pytest.mark.parametrize("inputs", INPUTS)
@pytest.mark.parametrize(
    "name", ["mobilenetv2", "resnet18_small_images", "regnetx_400mf", "shufflenet", "convnext"]
)
def test_two_streams_train_and_trace(name: str, inputs: str) -> None:
    torch.manual_seed(0)
    model = build_model(net(CUTS[name][0], inputs), outputs_by_task({"class": 3}), (64, 64)).train()
    planes = [
        torch.randint(0, 256, p.shape, dtype=torch.uint8) for p in model.inputs.example((64, 64), batch=2)
    ]
    model(*planes)["class"].square().sum().backward()
    without = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []
    model.eval()
    traced = trace(model)
    names = [p.name for p in model.inputs.planes]
    assert [n.target for n in traced.graph.nodes if n.op == "placeholder"] == names
    with torch.no_grad():
        out = model(*planes)["class"]
        assert torch.equal(traced(*planes)["class"], out)
        for i in range(len(planes)):
            other = [255 - p if i == j else p for j, p in enumerate(planes)]
            assert not torch.equal(model(*other)["class"], out), f"{names[i]} does not matter"


def test_decoders_see_joined_levels_and_those_before_of_the_image() -> None:
    head = decoder.unet_lite(width=0.25)  # takes strides 2, 4, 8, 16 and 32
    model = build_model(
        net(CUTS["mobilenetv2"][0], "image+flow", head=head), outputs_by_task({"map": 2}), (64, 64)
    ).eval()
    image, flow = (torch.randint(0, 256, p.shape, dtype=torch.uint8) for p in model.inputs.example((64, 64)))
    with torch.no_grad():
        levels, others = (model.backbone(*model._streams((image, f))) for f in (flow, 255 - flow))
    same = [torch.equal(a, b) for a, b in zip(levels, others, strict=True)]
    strides = [64 // level.shape[-1] for level in levels]
    assert dict(zip(strides, same, strict=True)) == {2: True, 4: False, 8: False, 16: False, 32: False}


def test_one_stream_is_what_it_was() -> None:
    """The second stream draws its weights after those of the first."""
    torch.manual_seed(0)
    one = build_model(
        net(CUTS["mobilenetv2"][0], "image"), outputs_by_task({"class": 3}), (64, 64)
    ).state_dict()
    torch.manual_seed(0)
    two = build_model(
        net(CUTS["mobilenetv2"][0], "image+previous"), outputs_by_task({"class": 3}), (64, 64)
    ).state_dict()
    body = [key for key in one if key.startswith("backbone.") and "classifier" not in key]
    assert all(torch.equal(one[key], two[key]) for key in body)
    assert not torch.equal(two["backbone.previous_stem.conv_stem.weight"], two["backbone.conv_stem.weight"])


def test_networks_without_such_a_place_are_refused_by_name() -> None:
    with pytest.raises(
        ValueError,
        match=r"^net\.inputs: .* of stride 4 or less, and vit_tiny_patch16_224 has no such place \(it has none\); set "
        r"net\.inputs=image",
    ):
        build_model(
            net(backbone.timm(model="vit_tiny_patch16_224"), "image+flow"),
            outputs_by_task({"class": 3}),
            (224, 224),
        )

    class Bypassed(nn.Module):
        def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            level = image[..., ::4, ::4]
            return level, level + image.mean(), level.mean((2, 3))

    whole = Backbone("bypassed", fx.symbolic_trace(Bypassed()), 3)
    with pytest.raises(
        ValueError, match=r"bypassed has no such place \(later layers take the image past it too\)"
    ):
        whole.add_inputs({"flow": Backbone("bypassed", fx.symbolic_trace(Bypassed()), 2)})


def test_published_weights_fill_the_stems_of_both_streams() -> None:
    part = backbone.timm(model="mobilenetv2_035")
    import timm

    state = timm.create_model("mobilenetv2_035").state_dict()
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.2, 0.3)
    published = Published("somewhere", "MIT", mean, std, lambda: dict(state))

    torch.manual_seed(0)
    model = build_model(net(part, "image+previous", "nv12"), outputs_by_task({"class": 1000}), (64, 64))
    loaded = load(model, "pretrained", published)
    have = model.state_dict()
    for key in ("conv_stem.weight", "bn1.running_mean", "blocks.1.1.conv_dw.weight"):
        assert torch.equal(have[f"backbone.previous_stem.{key}"], have[f"backbone.{key}"])
    assert loaded.fold_db is not None
    assert loaded.fold_db > 10
    assert "previous stem: 45 of 45 tensors, the same as the image's" in str(loaded)
    assert loaded.missing == tuple(
        f"backbone.{key}" for key, _ in model.backbone.state_dict().items()
        if key.startswith("fuse.") and "num_batches" not in key
    )  # fmt: skip

    model = build_model(net(part, "image+flow+confidence"), outputs_by_task({"class": 1000}), (64, 64))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    loaded = load(model, "pretrained", published)
    after, key = model.state_dict(), "backbone.flow_stem.blocks.1.1.conv_dw.weight"
    assert torch.equal(after[key], state[key.removeprefix("backbone.flow_stem.")])
    for key in ("conv_stem.weight", "bn1.running_mean"):  # as large as the image's, and of something else
        assert torch.equal(after[f"backbone.flow_stem.{key}"], before[f"backbone.flow_stem.{key}"])
        assert f"backbone.flow_stem.{key}" in loaded.missing
    assert "flow stem: 40 of 45 tensors, the same as the image's" in str(loaded)


def test_values_become_codes_by_the_table() -> None:
    inputs = Inputs("nv12", "image+flow+confidence")
    flow = torch.tensor([-100.0, -16.0, 0.0, 0.0625, 0.1875, 15.875, 100.0, 1.0]).view(1, 2, 2, 2)
    batch = {
        "image": torch.full((1, 3, 2, 2), 128, dtype=torch.uint8),
        "flow": flow,
        "confidence": torch.tensor([0.0, 0.5, 0.99, 1.0]).view(1, 2, 2),
    }
    y, uv, flow_codes, confidence = inputs.encode(batch)
    assert (y.shape, uv.shape) == ((1, 1, 2, 2), (1, 1, 1, 2))
    assert flow_codes.flatten().tolist() == [0, 0, 128, 128, 130, 255, 255, 136]  # halves go to the even code
    assert confidence.shape == (1, 1, 2, 2)
    assert confidence.flatten().tolist() == [128, 192, 255, 255]
    told = {name: one["coding"] for stream in inputs.streams for name, one in stream.described().items()}
    assert (told["flow"]["steps"], told["flow"]["zero"], told["flow"]["channels"]) == (8, 128, ["x", "y"])
    assert (told["confidence"]["steps"], told["confidence"]["zero"]) == (128, 128)
    assert [p.dtype for p in (y, uv, flow_codes, confidence)] == [torch.uint8] * 4


def test_a_preset_keeps_the_inputs_that_were_asked_for() -> None:
    asked = net(CUTS["mobilenetv2"][0], "image+flow", "nv12")
    assert asked.choose("resnet18_x1").takes == Inputs("nv12", "image+flow")
    assert asked.choose("regnetx400mf_x1_bgr").pixels == "bgr"  # it says so itself
    assert replace(asked.takes, names="image").fields == ("image",)
