"""Layers fitted to their float outputs come closer to them than nearest rounding does."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.quant.patterns import trained
from xvision.graph.capture import capture
from xvision.graph.operators import PaddedConv2d
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.insert import insert_quantizers
from xvision.quant.layerwise import batches_that_fit, layerwise
from xvision.quant.numbers import TensorQuant
from xvision.quant.observer import set_weight_scale
from xvision.quant.reconstruct import correct_bias, reconstruct
from xvision.quant.schemes import scheme


def padded() -> PaddedConv2d:
    conv = PaddedConv2d(8, 12, 4, stride=2)
    conv.pad = (1, 2, 0, 1)
    return conv


LAYERS = {
    "conv": lambda: nn.Conv2d(8, 12, 3, padding=1),
    "strided": lambda: nn.Conv2d(8, 12, 3, stride=2, padding=1, dilation=2),
    "padded": padded,
    "grouped": lambda: nn.Conv2d(8, 12, 3, groups=2),
    "depthwise": lambda: nn.Conv2d(8, 8, 3, padding=1, groups=8),
    "linear": lambda: nn.Linear(8, 12),
    "tall_kernel": lambda: nn.Conv2d(8, 12, (5, 3), padding=(2, 1)),
    "two_blocks": lambda: nn.Conv2d(8, 12, 5, padding=2),  # of columns
}


def made(name: str, weights: str = "tensor", size: int = 24) -> tuple[QuantLayer, list[Tensor], list[Tensor]]:
    """A layer with ranges, inputs that are quantized and correlated, the outputs of the float layer."""
    torch.manual_seed(0)
    float_layer = LAYERS[name]().eval()
    source = Quantizer(TensorQuant(8, signed=False))
    source.set_range(2.0**-5, 0)
    coarse = torch.rand(6, 8, size // 6, size // 6)
    images = F.interpolate(coarse, size=(size, size), mode="bilinear") + torch.rand(6, 8, size, size)
    images += images.flip(1)  # channels are correlated too
    batches = [part.mean(3).mT if name == "linear" else part for part in images.split(3)]
    with torch.no_grad():
        float_layer.weight *= torch.linspace(1, 3, len(float_layer.weight)).reshape(
            -1, *[1] * (float_layer.weight.ndim - 1)
        )
    four_bits = replace(
        scheme.pow2().build(), weights=TensorQuant(4, granularity=weights)
    )  # their rounding matters
    quantized = QuantLayer.of(float_layer, four_bits, source)
    set_weight_scale(quantized)
    with torch.no_grad():
        return quantized, [source(x) for x in batches], [float_layer(x) for x in batches]


def error(layer: QuantLayer, inputs: list[Tensor], wanted: list[Tensor]) -> float:
    with torch.no_grad():
        return float(sum((layer(x) - y).square().sum() for x, y in zip(inputs, wanted, strict=True)))


def fit(how: object, layer: QuantLayer, inputs: list[Tensor], wanted: list[Tensor]) -> QuantLayer:
    fitted = copy.deepcopy(layer)
    assert callable(how)
    with torch.no_grad():
        how(fitted, inputs, wanted)
    return fitted


@pytest.mark.parametrize("weights", ["tensor", "channel"])
@pytest.mark.parametrize("name", LAYERS)
def test_fitted_weights_are_better_than_nearest_ones(name: str, weights: str) -> None:
    layer, inputs, wanted = made(name, weights)
    corrected = fit(correct_bias, layer, inputs, wanted)
    fitted = fit(reconstruct, layer, inputs, wanted)
    assert error(corrected, inputs, wanted) < error(layer, inputs, wanted)
    ratio = 0.3 if name == "two_blocks" else 0.8  # the more columns, the better errors cancel
    assert error(fitted, inputs, wanted) < ratio * error(corrected, inputs, wanted)
    codes, _ = fitted.codes()
    on_grid = codes.float() * fitted.spread(fitted.weight_scale)
    assert torch.equal(on_grid, fitted.weight)  # the chosen codes, not rounded again


def test_large_maps_are_fitted_on_some_positions() -> None:
    layer, inputs, wanted = made("conv", size=80)  # 38400 positions: every other one in height and width
    fitted = fit(reconstruct, layer, inputs, wanted)
    assert error(fitted, inputs, wanted) < 0.8 * error(
        fit(correct_bias, layer, inputs, wanted), inputs, wanted
    )


@pytest.mark.parametrize("how", [correct_bias, reconstruct])
@pytest.mark.parametrize("name", LAYERS)
def test_channels_have_the_mean_of_the_float_ones(name: str, how: object) -> None:
    layer, inputs, wanted = made(name)
    fitted = fit(how, layer, inputs, wanted)
    others = (0, 1) if name == "linear" else (0, 2, 3)
    with torch.no_grad():
        means = torch.cat([fitted(x) for x in inputs]).mean(others) - torch.cat(wanted).mean(others)
    assert means.abs().max() <= float(fitted.accumulator_scale().max())  # the bias is in whole steps


@pytest.mark.parametrize(
    "float_layer",
    [nn.ConvTranspose2d(8, 8, 2, stride=2, groups=2), nn.Linear(1537, 2)],
    ids=["transposed", "wide"],
)
def test_transposed_and_very_wide_layers_keep_their_weights(float_layer: nn.Linear) -> None:
    source = Quantizer(TensorQuant(8, signed=False))
    source.set_range(2.0**-5, 128)
    layer = QuantLayer.of(float_layer, scheme.pow2().build(), source)
    set_weight_scale(layer)
    x = torch.randn(64, 1537) if isinstance(float_layer, nn.Linear) else torch.randn(4, 8, 6, 6)
    with torch.no_grad():
        wanted = float_layer(x) + 1
    fitted = fit(reconstruct, layer, [source(x)], [wanted])
    assert torch.equal(fitted.weight, layer.weight)
    assert error(fitted, [source(x)], [wanted]) < 0.1 * error(layer, [source(x)], [wanted])


def test_inputs_that_are_always_zero_do_no_harm() -> None:
    layer, inputs, _ = made("conv")
    inputs = [x * (torch.arange(8) > 3).reshape(1, -1, 1, 1) for x in inputs]
    with torch.no_grad():
        wanted = [F.conv2d(x, layer.weight, layer.bias, **layer.options) for x in inputs]
    fitted = fit(reconstruct, layer, inputs, wanted)
    assert fitted.weight.isfinite().all()
    assert error(fitted, inputs, wanted) < error(layer, inputs, wanted)


def test_each_layer_is_visited_once_with_what_those_before_it_now_give() -> None:
    model, planes = trained("add_relu")
    graph = capture(model, planes)
    insert_quantizers(graph, scheme.pow2().build())
    reference = copy.deepcopy(graph)
    names = {module: name for name, module in graph.named_modules()}
    visited: list[str] = []

    def visit(layer: QuantLayer, inputs: list[Tensor], wanted: list[Tensor]) -> None:
        visited.append(names[layer])
        for x, y in zip(inputs, wanted, strict=True):
            assert torch.equal(layer(x), y) == (
                len(visited) == 1
            )  # the first one's inputs are the float ones
        layer.bias += 1

    layerwise(graph, reference, [planes, planes], visit)
    calls = [str(node.target) for node in graph.graph.nodes if node.op == "call_module"]
    assert visited == [call for call in calls if isinstance(graph.get_submodule(call), QuantLayer)]


def test_all_images_are_used_if_they_fit_into_memory() -> None:
    model, planes = trained("conv_relu")
    graph = capture(model, planes)
    (taken, again) = batches_that_fit(graph, [planes, planes])
    assert torch.equal(taken[0], planes[0])
    assert torch.equal(again[0], planes[0])
