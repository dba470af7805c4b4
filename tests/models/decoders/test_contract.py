"""What every decoder of maps promises, on backbones with depthwise, full and grouped convolutions."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn

from tests.models.outputs import outputs_by_task
from xvision.config.parts import Part
from xvision.graph.trace import trace
from xvision.models.backbone import Backbone
from xvision.models.backbones import backbone
from xvision.models.blocks import enlarge
from xvision.models.build import build_model
from xvision.models.decoders import decoder
from xvision.models.settings import Net

MAPS = sorted(decoder.builders().keys() - {"classifier"})
BACKBONES = {
    "depthwise": backbone.timm(model="mobilenetv2_050", act="relu"),
    "full": backbone.timm(model="resnet10t", width=0.25),
    "grouped": backbone.timm(model="regnetx_002"),
}
MODES = ("bilinear", "nearest", "transposed", "conv", "depthwise_conv", "pixel_shuffle")


@cache
def built(kind: str) -> Backbone:
    return BACKBONES[kind].build(3, (128, 128))  # type: ignore[no-any-return]


def model_of(kind: str, head: Part, size: tuple[int, int] = (128, 128)) -> nn.Module:
    torch.manual_seed(0)
    return build_model(Net(backbone=BACKBONES[kind], decoder=head), outputs_by_task({"map": 5}), size)


@pytest.mark.parametrize("kind", BACKBONES)
@pytest.mark.parametrize("name", MAPS)
def test_a_decoder_gives_maps_as_large_as_the_image_and_learns(name: str, kind: str) -> None:
    model = model_of(kind, decoder.part(name)).train()
    image = torch.randint(0, 256, (2, 3, 128, 128), dtype=torch.uint8)
    out = model(image)["map"]
    assert out.shape == (2, 5, 128, 128)
    out.square().sum().backward()
    without = [key for key, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert without == []
    model.eval()
    with torch.no_grad():
        assert torch.equal(trace(model)(image)["map"], model(image)["map"])


@pytest.mark.parametrize("name", MAPS)
def test_large_convolutions_are_lite(name: str) -> None:
    """Depthwise or of the encoder's group width, never full."""
    for kind, width in (("depthwise", 1), ("full", 1), ("grouped", built("grouped").group_width)):
        head = decoder.part(name).build(built(kind), 4)
        large = [m for m in head.modules() if isinstance(m, nn.Conv2d) and m.kernel_size != (1, 1)]
        assert all(m.in_channels // m.groups <= 2 * width for m in large)


@pytest.mark.parametrize("name", MAPS)
def test_width_changes_the_decoder_alone(name: str) -> None:
    def size(part: Part) -> int:
        return sum(p.numel() for p in part.build(built("depthwise"), 4).parameters())

    assert size(decoder.part(name, {"width": 0.5})) < size(decoder.part(name))


@pytest.mark.parametrize("name", MAPS)
def test_a_size_that_does_not_divide_is_refused_with_the_nearest_one(name: str) -> None:
    with pytest.raises(
        ValueError, match=r"data\.size: expected multiples of \d+ .* got 130x250; the nearest is"
    ):
        model_of("depthwise", decoder.part(name), (130, 250))


def test_group_widths_are_found() -> None:
    assert [built(kind).group_width for kind in BACKBONES] == [1, 1, 8]


@pytest.mark.parametrize("factor", [1, 2, 4, 8, 32])
@pytest.mark.parametrize("mode", MODES)
def test_maps_are_enlarged_in_steps_of_four_and_two(mode: str, factor: int) -> None:
    layer = enlarge(factor, 8, mode)  # type: ignore[arg-type]
    assert layer(torch.zeros(1, 8, 3, 5)).shape == (1, 8, 3 * factor, 5 * factor)
    scales = [m.scale_factor for m in layer.modules() if isinstance(m, nn.Upsample)]
    assert all(scale in (2, 4) for scale in scales)


def test_only_powers_of_two_enlarge() -> None:
    with pytest.raises(ValueError, match="expected to enlarge by a power of two, got 3"):
        enlarge(3, 8, "bilinear")


def test_a_transposed_convolution_begins_as_bilinear_enlargement() -> None:
    x = torch.rand(1, 8, 6, 6)
    wanted, got = enlarge(2, 8, "bilinear")(x), enlarge(2, 8, "transposed")(x)
    assert torch.allclose(wanted[..., 2:-2, 2:-2], got[..., 2:-2, 2:-2], atol=1e-6)
