"""Integers simulated in float: what is rounded, what learns, what stays when the codes are frozen."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from xvision.graph.operators import Layer, PaddedConv2d
from xvision.quant.fake import EXACT, Quantizer, QuantLayer, fake_quantize
from xvision.quant.numbers import TensorQuant
from xvision.quant.observer import set_weight_scale
from xvision.quant.schemes import scheme


def quantizer(scale: float = 2.0**-6, zero_point: int = 128) -> Quantizer:
    made = Quantizer(TensorQuant(8, signed=False))
    made.set_range(scale, zero_point)
    return made


def padded() -> PaddedConv2d:
    conv = PaddedConv2d(4, 6, 4)
    conv.pad = (1, 2, 1, 2)
    return conv


LAYERS = {
    "conv": lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2),
    "grouped": lambda: nn.Conv2d(4, 6, 3, groups=2, bias=False),
    "padded": padded,
    "transposed": lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1),
    "transposed_grouped": lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2),
    "linear": lambda: nn.Linear(4, 6),
}


def made(name: str, weights: str = "tensor") -> tuple[Layer, QuantLayer, Tensor]:
    """A float layer, its quantized form and an input on the quantization grid of its source."""
    torch.manual_seed(0)
    layer = LAYERS[name]()
    source = quantizer()
    quantized = QuantLayer.of(layer, scheme.pow2(weights=weights).build(), source)
    set_weight_scale(quantized)
    x = torch.randn(2, 4, *([] if name == "linear" else [9, 11]))
    return layer, quantized, source(x)


def test_the_gradient_passes_where_the_rounded_value_is_in_range() -> None:
    """Jain et al. 2020, eq. 8, with scale 1/2 and codes -4 to 3: -2.3 becomes -5, out; 1.74 becomes 3, still in."""
    x = torch.tensor([-2.3, -2.24, -2.0, 0.1, 1.5, 1.74, 1.76, 9.0], requires_grad=True)
    y = fake_quantize(x, torch.tensor(0.5), -4, 3)
    assert y.tolist() == [-2.0, -2.0, -2.0, 0.0, 1.5, 1.5, 1.5, 1.5]
    y.backward(torch.arange(1.0, 9.0))
    assert x.grad is not None
    assert x.grad.tolist() == [0, 2, 3, 4, 5, 6, 0, 0]


def test_a_quantizer_without_range_lets_everything_pass() -> None:
    int8 = Quantizer(TensorQuant(8))
    x = torch.randn(5)
    assert torch.equal(int8(x), x)
    int8.set_range(0.5, 0)
    assert torch.equal(int8(x) % 0.5, torch.zeros(5))
    assert "int8, scale=0.5, zero_point=0" in repr(int8)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_without_ranges_is_the_float_layer(name: str) -> None:
    layer, _, x = made(name)
    open_layer = QuantLayer.of(layer, scheme.pow2().build(), Quantizer(TensorQuant(8)))
    assert torch.equal(open_layer(x), layer(x))


@pytest.mark.parametrize("weights", ["tensor", "channel"])
@pytest.mark.parametrize("name", LAYERS)
def test_weights_and_bias_are_integers_in_simulation(name: str, weights: str) -> None:
    layer, quantized, x = made(name, weights)
    weight, bias = quantized.parameters_on_grid()
    codes = bias / quantized.accumulator_scale()
    assert torch.equal(codes, codes.round())
    assert torch.equal(codes.int(), quantized.codes()[1])
    codes = weight / quantized.spread(quantized.weight_scale)
    assert torch.equal(codes.to(torch.int8).float(), codes)
    if layer.bias is None:
        assert not bias.any()
    # all products and sums are whole steps of the accumulator
    y = quantized(x)
    scale = quantized.accumulator_scale().min()
    assert torch.equal(y / scale, (y / scale).round())
    assert (y - layer(x)).abs().mean() < 0.02


@pytest.mark.parametrize("weights", ["tensor", "channel"])
@pytest.mark.parametrize("name", LAYERS)
def test_frozen_codes_compute_the_same(name: str, weights: str) -> None:
    _, quantized, x = made(name, weights)
    frozen = copy.deepcopy(quantized)
    frozen.freeze()
    assert (frozen.weight.dtype, frozen.bias.dtype) == (torch.int8, torch.int32)
    assert torch.equal(frozen(x), quantized(x))
    assert not list(frozen.parameters())
    assert all(torch.equal(a, b) for a, b in zip(frozen.codes(), quantized.codes(), strict=True))
    assert frozen.accumulator_bound() == quantized.accumulator_bound()


def test_float_parameters_learn() -> None:
    _, quantized, x = made("conv")
    quantized(x).square().sum().backward()
    for parameter in (quantized.weight, quantized.bias):
        assert parameter.grad is not None
        assert parameter.grad.abs().min() > 0


def test_the_largest_int32_is_a_bias_too() -> None:
    layer = nn.Linear(1, 2)
    layer.bias.data = torch.tensor([1e9, -1e9])
    quantized = QuantLayer.of(layer, scheme.pow2().build(), quantizer())
    quantized.set_weight_scale(torch.tensor(2.0**-7))
    assert quantized.codes()[1].tolist() == [2**31 - 1, -(2**31)]


@pytest.mark.parametrize("name", LAYERS)
def test_no_input_exceeds_the_accumulator_bound(name: str) -> None:
    _, quantized, x = made(name)
    quantized.source.set_range(2.0**-6, 0)
    for sign in (1, -1):  # the worst that can come: the largest code wherever it adds
        with torch.no_grad():
            quantized.weight.copy_(quantized.weight.abs() * sign)
            quantized.bias.copy_(quantized.bias.abs() * sign)
        worst = quantized(torch.full_like(x, 255 / 64)).abs().max() / quantized.accumulator_scale()
        bound = quantized.accumulator_bound()
        assert worst <= bound < EXACT
        if name in ("linear", "grouped", "padded"):  # each output sees the whole kernel
            assert worst == bound


def test_the_accumulator_bound_by_hand() -> None:
    layer = nn.ConvTranspose2d(2, 2, 1, groups=2)
    layer.weight.data = torch.tensor([1.0, -2.0]).reshape(2, 1, 1, 1)
    layer.bias.data = torch.tensor([0.5, 0.25])
    quantized = QuantLayer.of(layer, scheme.pow2().build(), quantizer(2.0**-2, 0))
    quantized.set_weight_scale(torch.tensor(2.0**-1))
    assert quantized.accumulator_bound() == 4 * 255 + 2
    quantized.source.set_range(2.0**-2, 128)
    assert quantized.accumulator_bound() == 4 * 128 + 2
