"""Computed values rounded as a device rounds them: by hand, and by the integers of a fixed-point multiplication."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.fixed_point import as_integer, first_rounding, second_rounding
from xvision.quant.numbers import TensorQuant
from xvision.quant.schemes import scheme
from xvision.quant.settings import Quant

HALVES = torch.tensor([-2.5, -1.5, -0.75, -0.5, 0.5, 0.75, 1.5, 2.5])


@pytest.mark.parametrize(
    ("rounding", "wanted"),
    [
        ("half_even", [-2, -2, -1, 0, 0, 1, 2, 2]),
        ("half_up", [-2, -1, -1, 0, 1, 1, 2, 3]),
        (
            "double",
            [-3, -2, -1, -1, 1, 1, 2, 3],
        ),  # what has no sum of products is rounded once, away from zero
    ],
)
def test_halves(rounding: str, wanted: list[int]) -> None:
    quantizer = Quantizer(TensorQuant(8, rounding=rounding))  # type: ignore[arg-type]
    quantizer.set_range(0.25, 0)
    assert quantizer.codes(HALVES / 4).tolist() == wanted
    assert (quantizer(HALVES / 4) * 4).tolist() == wanted


def gemmlowp(sums: int, m: int, shift: int) -> int:
    """SaturatingRoundingDoublingHighMul and RoundingDivideByPOT, in Python's integers as the C++ has them."""
    left, right = max(shift, 0), max(-shift, 0)
    product = (sums << left) * m
    nudge = (1 << 30) if product >= 0 else 1 - (1 << 30)
    high = abs(product + nudge) // (1 << 31) * (1 if product + nudge >= 0 else -1)
    mask = (1 << right) - 1
    threshold = (mask >> 1) + (1 if high < 0 else 0)
    return (high >> right) + (1 if (high & mask) > threshold else 0)


@pytest.mark.parametrize("multiplier", [1.0, 0.5, 2.0**-7, 0.3, 0.00113, 1.7, 0.9999999999])
def test_two_roundings_are_those_of_gemmlowp(multiplier: float) -> None:
    sums = torch.cat((torch.arange(-3000, 3001), torch.tensor([-(2**23) + 1, 2**23 - 1])))
    m, shift = as_integer(torch.tensor(multiplier, dtype=torch.float64))
    assert 2**30 <= int(m) < 2**31
    got = second_rounding(*first_rounding(sums, torch.tensor(multiplier, dtype=torch.float64)))
    assert got.tolist() == [gemmlowp(int(one), int(m), int(shift)) for one in sums]


def layer_before(rounding: str, weight: float) -> tuple[QuantLayer, Quantizer]:
    """One product and its quantizer: codes of step 1/64, weights of step 1/128, outputs of step 1/16."""
    numbers = replace(scheme.pow2().build(), name="own")
    numbers = replace(numbers, activations=replace(numbers.activations, rounding=rounding))
    source, target = Quantizer(numbers.activations), Quantizer(numbers.activations)
    source.set_range(2.0**-6, 128)
    target.set_range(2.0**-4, 128)
    linear = nn.Linear(1, 1, bias=False)
    nn.init.constant_(linear.weight, weight)
    layer = QuantLayer.of(linear, numbers, source)
    layer.set_weight_scale(torch.tensor(2.0**-7))
    if rounding == "double":
        layer.round_twice(target)
    return layer.eval(), target


def test_a_layer_rounds_twice() -> None:
    """Sums of 255 and 257 in 512ths of a step: 0.498 is first rounded to 0.5 and then up; once, it would be 0."""
    x = torch.tensor([[85 / 64], [-85 / 64], [1 / 64]])
    for rounding, wanted in (("half_even", [0, 0, 0]), ("double", [1, 0, 0])):
        layer, target = layer_before(rounding, 3 / 128)  # sums of 255, -255 and 3, of 512 for each step
        assert (target.codes(layer(x)) - 128).flatten().tolist() == wanted


def test_the_scheme_says_it_for_all_computed_tensors() -> None:
    built = Quant(rounding="half_up").numbers()
    assert (built.rounding, built.heads.rounding, built.weights.rounding) == (
        "half_up",
        "half_up",
        "half_even",
    )


def test_the_gradient_of_a_layer_passes_through_both_roundings() -> None:
    layer, target = layer_before("double", 0.4)
    x: Tensor = torch.tensor([[1.0]], requires_grad=True)
    target(layer.train()(x)).sum().backward()
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(51 / 128)
