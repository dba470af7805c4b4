"""What every decoder promises, of each set of outputs that it `gives`:

- `decoder(backbone, outputs, *, settings)` is a module with `in_features`, the levels that it reads ("logits": class
  scores), and `size_divisor`, what the image's sides must be multiples of;
- it takes those features in their order and returns the tensors of all outputs by name, and no others, of the shapes
  that `OutputSpec` states;
- every parameter gets a gradient: nothing is built that no output reads;
- `prediction_layers` says which layers' channels are an output's own: all others are what tasks share;
- it can be traced, and what is traced computes the same;
- outputs that it does not give are refused with the names of the decoders that do.

Decoders of maps are also lite (3x3 convolutions depthwise, or grouped as the backbone is), and have a `width`. That
they are exact in int8 is tested in `tests/export/test_decoders.py`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from xvision.config.parts import Part
from xvision.graph.trace import trace
from xvision.models.backbone import Backbone
from xvision.models.backbones import backbone
from xvision.models.blocks import upsample
from xvision.models.build import build_model
from xvision.models.decoders import decoder
from xvision.models.model import Model
from xvision.models.outputs import OutputSpec, tensor_names
from xvision.models.settings import Net

OUTPUTS = {
    "scores": (OutputSpec("weather", 5, "scores"),),
    "two scores": (OutputSpec("weather", 5, "scores"), OutputSpec("place", 3, "scores")),
    "map": (OutputSpec("map", 5, "map"),),
    "maps": (OutputSpec("labels", 3, "map"), OutputSpec("depth", 1, "map")),
    "map at a stride": (OutputSpec("centers", 3, "map", (8,)),),
    "pyramid": (OutputSpec("boxes", 4, "pyramid", (8, 16)),),
    "coarse pyramid": (OutputSpec("boxes", 4, "pyramid", (16, 32)),),
    "all but scores": (
        OutputSpec("boxes", 4, "pyramid", (8, 16, 32)),
        OutputSpec("labels", 3, "map"),
        OutputSpec("centers", 2, "map", (4,)),
        OutputSpec("depth", 1, "map"),
    ),
}
NAMES = sorted(decoder.builders())
CLASSES: dict[str, Any] = {name: decoder.builder(name).load() for name in NAMES}
MAPS = [name for name in NAMES if "map" in CLASSES[name].gives]
GIVEN = [
    (name, outputs)
    for name in NAMES
    for outputs, specs in OUTPUTS.items()
    if {spec.needs for spec in specs} <= set(CLASSES[name].gives)
]
SIZE = (128, 128)
BACKBONES = {
    "depthwise": backbone.timm(model="mobilenetv2_050", act="relu"),
    "full": backbone.timm(model="resnet10t", width=0.25),
    "grouped": backbone.timm(model="regnetx_002"),
}
MODES = ("bilinear", "nearest", "transposed", "conv", "depthwise_conv", "pixel_shuffle")


@cache
def built(kind: str) -> Backbone:
    return BACKBONES[kind].build(3, SIZE)  # type: ignore[no-any-return]


def model_of(kind: str, part: Part, outputs: str = "map", size: tuple[int, int] = SIZE) -> Model:
    torch.manual_seed(0)
    return build_model(Net(backbone=BACKBONES[kind], decoder=part), {"task": OUTPUTS[outputs]}, size)


def shape_of(spec: OutputSpec, stride: int) -> tuple[int, ...]:
    sides = () if spec.kind == "scores" else (SIZE[0] // stride, SIZE[1] // stride)
    return (2, spec.channels, *sides)


@pytest.mark.parametrize(("name", "outputs"), GIVEN)
def test_a_decoder_gives_its_outputs_and_every_layer_learns(name: str, outputs: str) -> None:
    specs = OUTPUTS[outputs]
    model = model_of("depthwise", decoder.part(name), outputs).train()
    image = torch.randint(0, 256, (2, 3, *SIZE), dtype=torch.uint8)
    out = model(image)
    expected = {
        key: shape_of(spec, stride)
        for spec in specs
        for key, stride in zip(spec.names, spec.strides or (1,), strict=True)
    }
    assert {key: tuple(x.shape) for key, x in out.items()} == expected
    assert tuple(out) == model.outputs == tensor_names(specs)
    torch.stack([x.square().sum() for x in out.values()]).sum().backward()
    without = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []
    model.eval()
    with torch.no_grad():
        traced, direct = trace(model)(image), model(image)
    assert all(torch.equal(traced[key], direct[key]) for key in direct)


@pytest.mark.parametrize("kind", ["full", "grouped"])
@pytest.mark.parametrize("name", MAPS)
def test_a_decoder_of_maps_works_on_any_backbone(name: str, kind: str) -> None:
    model = model_of(kind, decoder.part(name)).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, *SIZE, dtype=torch.uint8))["map"].shape == (1, 5, *SIZE)


@pytest.mark.parametrize(("name", "outputs"), GIVEN)
def test_prediction_layers_are_those_that_an_output_alone_changes(name: str, outputs: str) -> None:
    """An output's gradient reaches its own prediction layers, and no layer that only predicts another."""
    specs = OUTPUTS[outputs]
    model = model_of("depthwise", decoder.part(name), outputs).train()
    (made,) = model.decoders.values()
    layers: Any = made.prediction_layers
    assert layers.keys() == {spec.name for spec in specs}
    out = model(torch.randint(0, 256, (2, 3, *SIZE), dtype=torch.uint8))
    of_each = {key: {p for layer in own for p in layer.parameters()} for key, own in layers.items()}
    for spec in specs:
        model.zero_grad()
        torch.stack([out[key].square().sum() for key in spec.names]).sum().backward(retain_graph=True)
        reached = {p for p in model.parameters() if p.grad is not None}
        assert of_each[spec.name]
        assert of_each[spec.name] <= reached
        only_others = set().union(*of_each.values()) - of_each[spec.name]
        assert not only_others & reached


@pytest.mark.parametrize("name", NAMES)
def test_what_a_decoder_does_not_give_is_refused(name: str) -> None:
    missing = [key for key, specs in OUTPUTS.items() if (name, key) not in GIVEN]
    assert missing, "a decoder that gives everything"
    for key in missing:
        able = [n for n in NAMES if (n, key) in GIVEN]
        with pytest.raises(
            ValueError, match=f"net.decoder: task needs .*, {name} gives .*; choose {' or '.join(able)}"
        ):
            model_of("depthwise", decoder.part(name), key)


@pytest.mark.parametrize("name", [name for name in NAMES if "pyramid" in CLASSES[name].gives])
def test_strides_that_a_pyramid_lacks_are_refused(name: str) -> None:
    def build(*strides: int, **settings: int) -> Any:
        specs = (OutputSpec("boxes", 4, "pyramid", strides),)
        return decoder.part(name, settings).build(built("depthwise"), specs)

    with pytest.raises(
        ValueError, match=r"expected outputs at strides 8, 16, .*got 512; set net\.decoder\.first_stride"
    ):
        build(8, 512)
    with pytest.raises(
        ValueError, match=r"expected outputs at strides 16, .*got 8; set net\.decoder\.first_stride"
    ):
        build(8, 32, first_stride=16)
    with pytest.raises(
        ValueError, match="first_stride: expected 16, the smallest stride of an output, got 4, which"
    ):
        build(16, 32, first_stride=4)


@pytest.mark.parametrize("name", MAPS)
def test_large_convolutions_are_lite(name: str) -> None:
    """Depthwise or of the encoder's group width, never full."""
    for kind, width in (("depthwise", 1), ("full", 1), ("grouped", built("grouped").group_width)):
        head = decoder.part(name).build(built(kind), OUTPUTS["map"])
        large = [m for m in head.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
        assert all(m.in_channels // m.groups <= 2 * width for m in large)


@pytest.mark.parametrize("name", MAPS)
def test_width_changes_the_decoder_alone(name: str) -> None:
    def size(part: Part) -> int:
        return sum(p.numel() for p in part.build(built("depthwise"), OUTPUTS["map"]).parameters())

    assert size(decoder.part(name, {"width": 0.5})) < size(decoder.part(name))


@pytest.mark.parametrize("name", MAPS)
def test_a_size_that_does_not_divide_is_refused_with_the_nearest_one(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"data\.size: expected multiples of \d+ .* got 130x250; the nearest is"
    ):
        model_of("depthwise", decoder.part(name), size=(130, 250))


def test_group_widths_are_found() -> None:
    assert [built(kind).group_width for kind in BACKBONES] == [1, 1, 8]


@pytest.mark.parametrize("factor", [1, 2, 4, 8, 32])
@pytest.mark.parametrize("mode", MODES)
def test_maps_are_upsampled_in_steps_of_four_and_two(mode: str, factor: int) -> None:
    layer = upsample(factor, 8, mode)  # type: ignore[arg-type]
    assert layer(torch.zeros(1, 8, 3, 5)).shape == (1, 8, 3 * factor, 5 * factor)
    scales = [m.scale_factor for m in layer.modules() if isinstance(m, nn.Upsample)]
    assert all(scale in (2, 4) for scale in scales)


def test_only_powers_of_two_upsample() -> None:
    with pytest.raises(ValueError, match="expected to upsample by a power of two, got 3"):
        upsample(3, 8, "bilinear")


def test_a_transposed_convolution_begins_as_bilinear_interpolation() -> None:
    x = torch.rand(1, 8, 6, 6)
    expected, got = upsample(2, 8, "bilinear")(x), upsample(2, 8, "transposed")(x)
    assert torch.allclose(expected[..., 2:-2, 2:-2], got[..., 2:-2, 2:-2], atol=1e-6)
