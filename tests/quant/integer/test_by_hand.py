"""Operators on whole numbers, worked out by hand: sums, steps, ties, saturation, bounds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.integer import operators, resize, sums
from xvision.quant.integer.fixed import FixedPoint, divided, on_one_step
from xvision.quant.integer.layers import layer_sum
from xvision.quant.numbers import Rounding, TensorQuant
from xvision.quant.schemes import scheme


def fixed(values: list[int] | Tensor, step: float) -> FixedPoint:
    return FixedPoint(torch.as_tensor(values), torch.tensor(step, dtype=torch.float64))


def codes(x: FixedPoint, scale: float, rounding: Rounding = "half_even") -> list[int]:
    found: list[int] = x.steps_of(torch.tensor(scale, dtype=torch.float64), rounding).flatten().tolist()
    return found


def layer_of(module: nn.Module, scale: float, weight_scale: Tensor | float) -> QuantLayer:
    source = Quantizer(TensorQuant(8, signed=False))
    source.set_range(scale, 128)
    granularity = "channel" if isinstance(weight_scale, Tensor) else "tensor"
    layer = QuantLayer.of(module, scheme.pow2(weights=granularity).build(), source)  # type: ignore[arg-type]
    layer.set_weight_scale(torch.as_tensor(weight_scale))
    return layer


def test_a_number_of_the_graph() -> None:
    x = FixedPoint.of(-0.75)
    assert (int(x.whole), float(x.step)) == (-1, 0.75)
    assert float(FixedPoint.of(0.0).to_float()) == 0
    assert float(FixedPoint.of(0.1).to_float()) == float(torch.tensor(0.1))


def test_a_linear_layer() -> None:
    """(3 * 64 - 2 * 32 + 5) = 133 steps of 1/16 * 1/128: in steps of 1/32 it is 2.08; (-6 + 2) / 64 is no tie."""
    linear = nn.Linear(2, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[64, 32], [-2, -1]]) / 128)
        linear.bias.copy_(torch.tensor([5, 0]) / 2048)
    found = layer_sum(layer_of(linear, 1 / 16, 1 / 128), fixed([[3, -2]], 1 / 16))
    assert found.whole.tolist() == [[133, -4]]
    assert codes(found, 1 / 32) == [2, 0]
    assert codes(found, 1 / 1024) == [66, -2]  # 66.5 to even


@pytest.mark.parametrize(
    ("rounding", "wanted"), [("half_even", [0, 2]), ("half_up", [1, 2]), ("double", [1, 2])]
)
def test_a_scale_for_each_channel(rounding: Rounding, wanted: list[int]) -> None:
    """The first channel has 2 / 4 steps of the output, the second 6 / 4."""
    conv = nn.Conv2d(1, 2, 1, bias=False)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([2 / 64, 3 / 32]).view(2, 1, 1, 1))
    layer = layer_of(conv, 1 / 8, torch.tensor([1 / 64, 1 / 32]))
    found = layer_sum(layer, fixed(torch.tensor([[[[1]]]]), 1 / 8))
    assert found.whole.flatten().tolist() == [2, 3]
    assert codes(found, 1 / 128, rounding) == wanted


def test_a_convolution_of_a_padded_map() -> None:
    """Ones around the middle of a 3x3 map of 1 to 9: the sums of the neighbours that there are, itself included."""
    conv = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    nn.init.ones_(conv.weight)
    found = layer_sum(layer_of(conv, 1.0, 1.0), fixed(torch.arange(1, 10).view(1, 1, 3, 3), 1.0))
    assert found.whole.flatten().tolist() == [12, 21, 16, 27, 45, 33, 24, 39, 28]


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2, "padding": 1},
        {"dilation": 2, "padding": (0, 2)},
        {"groups": 2},
        {"groups": 4, "stride": (2, 1)},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_layers_are_torchs_in_double(kind: type[nn.Module], options: dict[str, int]) -> None:
    torch.manual_seed(0)
    module = kind(4, 8, (3, 2), bias=True, **options)
    layer = layer_of(module, 1 / 16, 1 / 128)
    x = torch.randint(-128, 128, (2, 4, 7, 6))
    found = layer_sum(layer, fixed(x, 1 / 16))
    weight, bias = layer.codes()
    with torch.no_grad():
        module.weight.copy_(weight)  # type: ignore[union-attr, operator]
        module.bias.copy_(bias)  # type: ignore[union-attr, operator]
    assert torch.equal(found.whole.double(), module.double()(x.double()))
    assert float(found.step) == 1 / 2048


def test_a_sum_of_two_scales_is_exact() -> None:
    """3 * 1/4 + 5 * 1/16 = 17/16; in steps of 1/8 that is 8.5."""
    found = operators.sum_of_two({"self": fixed([3], 0.25), "other": fixed([5], 1 / 16), "alpha": 1})
    assert (found.whole.tolist(), float(found.step)) == ([17], 1 / 16)
    assert [codes(found, 1 / 8, rounding)[0] for rounding in ("half_even", "half_up", "double")] == [8, 9, 9]


def test_a_difference_with_a_factor_and_a_number() -> None:
    """1 - 2 * 3/4 = -1/2."""
    given = {"self": 1, "other": fixed([3], 0.25), "alpha": 2}
    found = operators.difference(given)
    assert float(found.to_float()) == -0.5
    assert codes(found, 1.0) == [0]  # -0.5 to even
    assert codes(found, 1.0, "half_up") == [0]
    assert codes(found, 1.0, "double") == [-1]  # away from zero


def test_a_third_is_the_third_of_a_float32() -> None:
    """3 * fl(1/3) is 1 in float32, and half of it a tie; exactly it is a little more."""
    given = {"self": fixed([3, 9], 1.0), "other": 1 / 3}
    assert codes(operators.product(given), 2.0) == [0, 2]
    assert codes(operators.product(given), 2.0, "half_up") == [1, 2]


def test_a_product_of_two() -> None:
    found = operators.product({"self": fixed([3, -3], 0.25), "other": fixed([2, 2], 0.5)})
    assert (found.whole.tolist(), float(found.step)) == ([6, -6], 0.125)
    assert codes(found, 0.5) == [2, -2]  # 1.5 and -1.5


def test_slopes_below_zero() -> None:
    """-3/4 * 1/8 and -3/4 * 4."""
    x = fixed(torch.tensor([[[-3], [-3]]]), 0.25)
    for slope, wanted in (([1, 8], [-3 / 32, -3 / 4]), ([0, 32], [0.0, -3.0])):
        found = operators.prelu({"self": x, "weight": fixed(slope, 0.125)})
        assert found.to_float().flatten().tolist() == wanted


def test_a_mean_and_a_sum() -> None:
    """1 + 2 + 4 = 7: a sum; the mean of the four below is a half."""
    x = fixed(torch.tensor([[1, 2, 4, 0], [1, 1, 0, 0], [-1, -1, 0, 0]]), 1.0)
    given = {"self": x, "dim": [1], "keepdim": False}
    assert sums.total(given).whole.tolist() == [7, 2, -2]
    mean = sums.mean(given)
    assert mean.to_float().tolist() == [1.75, 0.5, -0.5]
    assert [codes(mean, 1.0, one) for one in ("half_even", "half_up", "double")] == [
        [2, 0, 0],
        [2, 1, 0],
        [2, 1, -1],
    ]


@pytest.mark.parametrize("divisor", [3, 7, 9, 49, 100, 256])
def test_quotients_are_those_of_float32(divisor: int) -> None:
    x = torch.arange(-70_000, 70_000, 7)
    found = divided(fixed(x, 0.125), divisor).to_float()
    assert torch.equal(found, x.float() * 0.125 / divisor)
    scale = torch.tensor(0.37, dtype=torch.float64)
    rounded = divided(fixed(x, 0.3), divisor).steps_of(scale, "half_even")
    assert (rounded - x * 0.3 / divisor / 0.37).abs().max() < 0.5001


def test_an_average_pool() -> None:
    """Windows of 3 columns, two apart: 0+1+2 and 2+3+4 in each row of two."""
    x = fixed(torch.arange(10).view(1, 1, 2, 5), 1.0)
    found = sums.avg_pool({"self": x, "kernel_size": [2, 3], "stride": [2, 2]})
    assert found.to_float().flatten().tolist() == [3.5, 5.5]
    assert codes(found, 1.0) == [4, 6]


def test_windows_of_several_sizes() -> None:
    """3 rows to 2: the first two, and the last two."""
    x = fixed(torch.tensor([1, 2, 4]).view(1, 1, 3, 1), 0.5)
    found = sums.adaptive_avg_pool({"self": x, "output_size": [2, 1]})
    assert found.to_float().flatten().tolist() == [0.75, 1.5]


def test_twice_as_wide() -> None:
    """Between 0 and 4: a quarter, and three quarters of the way; the ends stay."""
    x = fixed(torch.tensor([0, 4]).view(1, 1, 1, 2), 1.0)
    found = resize.bilinear(x, [1, 4])
    assert found.to_float().flatten().tolist() == [0.0, 1.0, 3.0, 4.0]
    assert found.whole.flatten().tolist() == [0, 8, 24, 32]  # of 1/2, one row, and 1/4


def test_tensors_of_one_step() -> None:
    whole, step = on_one_step([fixed([1], 0.75), fixed([1], 0.5), fixed([-3], 8.0)])
    assert ([int(one) for one in whole], float(step)) == ([3, 2, -96], 0.25)
    same = [fixed([5], 0.3), fixed([7], 0.3)]
    assert float(on_one_step(same)[1]) == 0.3


def test_a_step_that_an_accumulator_cannot_hold_is_made_coarser() -> None:
    whole, step = on_one_step([fixed([1], 2.0**-80), fixed([3], 1.0)])
    assert [int(one) * float(step) for one in whole] == [0.0, 3.0]


@pytest.mark.parametrize("rounding", ["half_even", "half_up", "double"])
def test_bounds_are_those_of_the_codes(rounding: Rounding) -> None:
    """6 is 4.8 steps of 1.25: no code is above 5, and none below zero."""
    x = fixed([-9, 2, 40], 0.25).clipped(0.0, 6.0)
    assert codes(x, 1.25, rounding) == [0, 0, 5]
    assert codes(x.clipped(-1.0, 2.5), 1.25, rounding) == [0, 0, 2]


def test_zeros_and_other_numbers_around_a_map() -> None:
    x = fixed(torch.tensor([[[[1, 2]]]]), 0.5)
    for value, wanted in ((None, 0), (-1.0, -2), (float("-inf"), -operators.FAR)):
        found = operators.pad({"self": x, "pad": [1, 0], "value": value}, "half_even")
        assert found.whole.flatten().tolist() == [wanted, 1, 2]


def test_what_moves_values_moves_whole_numbers() -> None:
    x = fixed(torch.arange(16).view(1, 1, 4, 4), 0.5)
    aten = torch.ops.aten
    for target, args in (
        (aten.max_pool2d.default, ([2, 2],)),
        (aten.upsample_nearest2d.vec, ([8, 8], None)),
        (aten.pad.default, ([1, 1, 1, 1], "reflect")),
        (aten.pixel_unshuffle.default, (2,)),
        (aten.im2col.default, ([2, 2], [1, 1], [0, 0], [2, 2])),
    ):
        found = operators.moved(target, (x, *args), {})
        assert found.whole.dtype == torch.int64
        assert torch.equal(found.to_float(), target(x.to_float(), *args))
    first, second = operators.moved(aten.split.Tensor, (x, 2, 3), {})
    assert second.whole.flatten().tolist() == [2, 3, 6, 7, 10, 11, 14, 15]
    joined = operators.moved(aten.cat.default, ([first, fixed(second.whole, 0.25)], 3), {})
    assert joined.to_float()[0, 0, 0].tolist() == [0.0, 0.5, 0.5, 0.75]
