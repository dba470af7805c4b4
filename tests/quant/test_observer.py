"""Scales of least error, compared with trying everything."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, fx, nn

from xvision.graph.capture import capture
from xvision.quant.fake import EXACT, Quantizer, QuantLayer
from xvision.quant.insert import insert_quantizers
from xvision.quant.numbers import TensorQuant
from xvision.quant.observer import (
    BINS,
    HistogramObserver,
    candidates,
    observe,
    power_of_two_above,
    set_weight_scale,
)
from xvision.quant.schemes import scheme

UINT8 = TensorQuant(8, signed=False)


def seen(*batches: Tensor) -> HistogramObserver:
    observer = HistogramObserver()
    for update in (observer.update_range, observer.update_histogram):
        for batch in batches:
            update(batch)
    return observer


def laplace(num: int = 20000) -> Tensor:
    """Values with long tails, as activations and weights have them."""
    uniform = torch.rand(num, generator=torch.Generator().manual_seed(0)) - 0.5
    return -uniform.sign() * torch.log1p(-2 * uniform.abs().clamp_max(0.49999))


def cost(x: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
    x = x.double()
    return ((x / scale).round().clamp(low, high) * scale - x).square().sum()


def test_the_power_of_two_above_is_exact() -> None:
    exact = 2.0 ** torch.arange(-40, 40)
    assert torch.equal(power_of_two_above(exact), exact)
    assert torch.equal(power_of_two_above(exact * (1 + 1e-6)), exact * 2)
    assert torch.equal(power_of_two_above(exact * (1 - 1e-6)), exact)


@pytest.mark.parametrize("x", [laplace() * 7, laplace().relu(), laplace().clamp(0, 0.3), torch.zeros(50)])
def test_counts_are_those_of_histc(x: Tensor) -> None:
    observer = seen(x, x / 3)
    assert observer.counts is not None
    if observer.low < observer.high:
        wanted, more = (torch.histc(each, BINS, observer.low, observer.high) for each in (x, x / 3))
        assert torch.equal(observer.counts, (wanted + more).double())
    assert observer.counts.sum() == 2 * len(x)


@pytest.mark.parametrize("power_of_two", [True, False])
def test_the_widest_candidate_holds_the_largest_value(power_of_two: bool) -> None:
    for largest in (0.0, 1e-6, 0.7, 1.0, 300.0):
        tried = candidates(torch.tensor(largest), 256, power_of_two)
        assert tried == sorted(tried, reverse=True)
        assert float(tried[0]) * 256 >= largest
        assert float(tried[-1]) > 0


@pytest.mark.parametrize(
    ("largest", "negative", "cut"),
    [(8.1, True, True), (8.1, False, True), (15, True, False), (15, False, False)],
)
def test_the_scale_is_the_best_of_all_powers_of_two(largest: float, negative: bool, cut: bool) -> None:
    """A range of 8 loses the tail, one of 16 half the resolution: the tail decides what is worse."""
    x = laplace()
    x = x / x.abs().max() * largest
    x = x if negative else x.abs()
    scale, zero_point = seen(*x.split(5000)).best_scale(UINT8)
    assert zero_point == (128 if negative else 0)
    tried = 2.0 ** torch.arange(-20.0, 10)
    errors = torch.stack([cost(x, s, -zero_point, 255 - zero_point) for s in tried])
    assert scale == float(tried[errors.argmin()])
    assert (scale * (256 - zero_point) < largest) == cut


def test_free_scales_are_found_too() -> None:
    x = laplace()
    scale, _ = seen(x).best_scale(TensorQuant(8, signed=False, power_of_two=False))
    power, _ = seen(x).best_scale(UINT8)
    best, other = (cost(x, torch.tensor(s), -128, 127) for s in (scale, power))
    assert best <= other


@pytest.mark.parametrize("value", [0.0, 2.5, -2.5])
def test_constant_tensors_have_a_scale(value: float) -> None:
    scale, zero_point = seen(torch.full((10,), value)).best_scale(UINT8)
    assert scale * 256 >= abs(value)
    assert zero_point == (128 if value < 0 else 0)


@pytest.mark.parametrize(
    ("values", "zero_point"), [((-1.0, 3.0), 64), ((1.0, 3.0), 0), ((-3.0, -1.0), 255), ((0.0, 0.0), 0)]
)
def test_asymmetric_ranges_hold_both_ends_and_zero(values: tuple[float, float], zero_point: int) -> None:
    """By hand: zero is at 64 of 255 codes between -1 and 3; a range always reaches to zero."""
    x = torch.linspace(*values, 10000)
    scale, found = seen(x).best_scale(TensorQuant(8, signed=False, symmetric=False, power_of_two=False))
    assert found == zero_point
    quantizer = Quantizer(UINT8)
    quantizer.set_range(scale, found)
    assert (quantizer(x) - x).abs().max() <= 0.51 * scale or x.unique().numel() == 1
    if values == (-1.0, 3.0):  # uniform: nothing is gained by cutting, so 255 steps for a range of 4
        assert scale == pytest.approx(4 / 255)


def test_asymmetric_is_finer_where_a_range_is_one_sided() -> None:
    x = laplace().clamp_min(-0.1)
    free = TensorQuant(8, signed=False, power_of_two=False)
    symmetric, asymmetric = (seen(x).best_scale(replace(free, symmetric=yes)) for yes in (True, False))
    costs = [cost(x, torch.tensor(scale), -zero, 255 - zero) for scale, zero in (symmetric, asymmetric)]
    assert costs[1] < 0.5 * costs[0]


def sigmoid_and_input() -> fx.GraphModule:
    """A captured network of two quantizers, that of the sigmoid set."""
    graph = capture(nn.Sequential(nn.Sigmoid()), [torch.zeros(2)])
    insert_quantizers(graph, scheme.pow2().build())
    return graph


def test_open_quantizers_see_all_batches() -> None:
    graph = sigmoid_and_input()
    batches = [(torch.tensor([-1.0, 4.0]),), (torch.tensor([2.0, 7.0, 0.0]),)]
    ((quantizer, found),) = observe(graph, batches).items()
    assert not quantizer.ready
    assert (found.low, found.high) == (-1, 7)
    assert found.counts is not None
    assert found.counts.sum() == 5
    assert not quantizer._forward_pre_hooks


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_activations_that_are_not_finite_are_named(value: float) -> None:
    with pytest.raises(
        ValueError, match=r"got NaN or infinity at 1 tensors \(first: input_1\); check the training"
    ):
        observe(sigmoid_and_input(), [(torch.tensor([value, value]),)])


def layer(weight: Tensor, bias: float = 0.0, weights: str = "tensor") -> QuantLayer:
    linear = nn.Linear(weight.shape[1], weight.shape[0])
    linear.weight.data = weight
    linear.bias.data.fill_(bias)
    source = Quantizer(UINT8)
    source.set_range(2.0**-6, 128)
    return QuantLayer.of(linear, scheme.pow2(weights=weights).build(), source)


@pytest.mark.parametrize("weights", ["tensor", "channel"])
def test_the_scale_of_weights_is_the_best_of_all_powers_of_two(weights: str) -> None:
    weight = laplace(4096).reshape(8, -1) * 2.0 ** torch.arange(-4, 4).unsqueeze(1)
    quantized = layer(weight, weights=weights)
    set_weight_scale(quantized)
    tried = 2.0 ** torch.arange(-20.0, 10)
    rows = weight if weights == "channel" else weight.reshape(1, -1)
    best = [tried[torch.stack([cost(row, s, -128, 127) for s in tried]).argmin()] for row in rows]
    assert quantized.weight_scale.flatten().tolist() == [float(scale) for scale in best]


@pytest.mark.parametrize("weights", ["tensor", "channel"])
def test_a_large_bias_makes_the_weights_coarser(weights: str) -> None:
    quantized = layer(torch.full((2, 3), 1e-3), bias=1000.0, weights=weights)
    set_weight_scale(quantized)
    _, bias = quantized.codes()
    assert (quantized.weight_scale == 2.0**-6).all()  # 1000 / 2^-6 / 2^-6 = 4096000 <= 2^22
    assert bias.abs().max() <= EXACT // 4
    assert torch.equal(bias * quantized.accumulator_scale(), torch.full((2,), 1000.0))


def test_without_bias_small_weights_keep_their_scale() -> None:
    quantized = layer(torch.full((2, 3), 1e-3))
    set_weight_scale(quantized)
    assert (
        float(quantized.weight_scale) == 2.0**-16
    )  # 1e-3 is 65.5 steps; with 2^-17 it would be 131, beyond 127
