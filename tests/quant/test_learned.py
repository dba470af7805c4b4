"""Learned ranges: gradients against formulas written down anew, and that a network stays what it is around them."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from tests.quant.free_scales import free_scales
from tests.quant.tiny_context import tiny_context
from xvision.quant.fake import Quantizer, QuantLayer, fake_quantize
from xvision.quant.learned import (
    BINS,
    LearnedScale,
    PowerOfTwo,
    Statistics,
    Threshold,
    Thresholds,
    ends,
    find_ranges,
    keep_ranges,
    ranges,
)
from xvision.quant.methods.ptq import ptq
from xvision.quant.numbers import TensorQuant
from xvision.quant.schemes import scheme
from xvision.train.ema import Ema

VALUES = [-9.0, -2.3, -2.25, -2.24, -2.0, -0.3, 0.1, 0.25, 1.5, 1.74, 1.75, 1.76, 9.0]
"""With scale 1/2 and codes -4 to 3: beyond, at and within half a step of both end codes."""
UPSTREAM = [float(1 + i % 5) for i in range(len(VALUES))]


def closed_form(x: float, scale: float, low: int, high: int) -> tuple[float, float, float]:
    """Value, and its derivatives by x and by the scale: equations 6 and 8 of TQT, 2 and 3 of LSQ."""
    code = math.floor(x / scale + 0.5)
    if x / scale + 0.5 == code and code % 2:  # half to even
        code -= 1
    if code < low:
        return low * scale, 0.0, low
    if code > high:
        return high * scale, 0.0, high
    return code * scale, 1.0, code - x / scale


@pytest.mark.parametrize(("low", "high"), [(-4, 3), (0, 7), (-3, 4), (-8, 7)])
@pytest.mark.parametrize("scale", [0.5, 0.3])
def test_gradients_are_the_closed_form(scale: float, low: int, high: int) -> None:
    x = torch.tensor(VALUES, requires_grad=True)
    s = torch.tensor(scale, requires_grad=True)
    y = fake_quantize(x, s, low, high)
    y.backward(torch.tensor(UPSTREAM))
    exact = s.item()
    wanted = [closed_form(v, exact, low, high) for v in x.tolist()]
    assert y.tolist() == pytest.approx([value for value, _, _ in wanted], rel=1e-6)
    assert x.grad is not None
    assert x.grad.tolist() == [g * by_x for g, (_, by_x, _) in zip(UPSTREAM, wanted, strict=True)]
    assert s.grad is not None
    total = sum(g * by_s for g, (_, _, by_s) in zip(UPSTREAM, wanted, strict=True))
    assert float(s.grad) == pytest.approx(total, rel=1e-5)


def test_each_channel_has_its_gradient() -> None:
    x = torch.tensor([VALUES, VALUES[::-1], VALUES]).reshape(3, 1, 13, 1).requires_grad_()
    scales = torch.tensor([0.5, 0.25, 0.3]).reshape(3, 1, 1, 1).requires_grad_()
    fake_quantize(x, scales, -4, 3).backward(torch.ones_like(x))
    assert scales.grad is not None
    for values, scale, found in zip(
        x.flatten(1).tolist(), scales.flatten().tolist(), scales.grad.flatten(), strict=True
    ):
        assert float(found) == pytest.approx(sum(closed_form(v, scale, -4, 3)[2] for v in values), rel=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_layout_in_memory_changes_no_gradient(layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    x, grad = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    s = torch.tensor(0.25, requires_grad=True)
    fake_quantize(x.to(memory_format=layout), s, -4, 3).backward(grad)
    wanted = sum(
        g * closed_form(v, 0.25, -4, 3)[2]
        for v, g in zip(x.flatten().tolist(), grad.flatten().tolist(), strict=True)
    )
    assert s.grad is not None
    assert float(s.grad) == pytest.approx(wanted, rel=1e-4)


def test_powers_of_two_are_exact_and_the_ceiling_passes_the_gradient() -> None:
    x = torch.linspace(-60, 60, 481).requires_grad_()
    y = PowerOfTwo.apply(x)
    wanted = [2.0 ** math.ceil(v) for v in x.tolist()]
    assert y.tolist() == wanted
    y.backward(torch.full_like(y, 3.0))
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([3 * w * math.log(2) for w in wanted], rel=1e-6)


# --------------------------------------------------------------------------------------------- in a network


def quantized(folder: Path, free: bool = False) -> tuple[fx.GraphModule, Tensor]:
    context = tiny_context(folder)
    if free:
        context = replace(context, scheme=free_scales())
    (images,) = next(iter(context.calibration()))
    return ptq(context, num_images=40), images


def outputs(q: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return cast(Tensor, q(images)["class"])


@pytest.mark.parametrize("how", ["learned", "fixed"])
def test_a_network_of_powers_of_two_computes_what_it_did(how: Thresholds, tmp_path: Path) -> None:
    q, images = quantized(tmp_path)
    before, wanted = q.state_dict(), outputs(q, images)
    find_ranges(q, how)
    assert torch.equal(outputs(q, images), wanted)
    keep_ranges(q)
    after = q.state_dict()
    assert torch.equal(outputs(q, images), wanted)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert {type(m) for m in q.modules()} >= {Quantizer, QuantLayer}


@pytest.mark.parametrize("how", ["learned", "statistics"])
@pytest.mark.parametrize("free", [False, True])
def test_what_was_found_is_what_is_kept(free: bool, how: Thresholds, tmp_path: Path) -> None:
    q, images = quantized(tmp_path, free)
    find_ranges(q, how)
    q.train()
    for _ in range(3):
        q(images)["class"].square().sum().backward()
    with torch.no_grad():
        for one, tensor in ranges(q):
            if isinstance(one, LearnedScale):
                assert tensor.grad is not None
                tensor -= 0.7 * tensor.grad.sign()
    trained = outputs(q.eval(), images)
    keep_ranges(q)
    assert torch.equal(outputs(q, images), trained)
    assert not any(parametrize.is_parametrized(m) for m in q.modules())
    assert {key.rpartition(".")[2] for key in q.state_dict()} == {
        "scale", "zero_point", "weight", "bias", "weight_scale",
    }  # fmt: skip


def test_the_keys_of_the_float_network_stay(tmp_path: Path) -> None:
    q, _ = quantized(tmp_path)
    find_ranges(q, "learned")
    keys = q.state_dict().keys()
    assert {f"{layer}.{part}" for layer in ("conv1", "conv2", "head") for part in ("weight", "bias")} <= keys


def test_thresholds_start_between_two_jumps(tmp_path: Path) -> None:
    q, _ = quantized(tmp_path)
    find_ranges(q, "learned")
    found = list(ranges(q))
    assert {type(one) for one, _ in found} == {Threshold}
    assert all(tensor.item() % 1 == 0.5 for _, tensor in found)
    pixels = q.get_submodule("quantizers.pixels")
    assert not parametrize.is_parametrized(pixels), "its range is known"


def test_an_average_of_thresholds_is_a_power_of_two(tmp_path: Path) -> None:
    q, images = quantized(tmp_path)
    find_ranges(q, "learned")
    ema = Ema(q, 0.9)
    with torch.no_grad():
        for _, tensor in ranges(q):
            tensor += 1
    ema.update(q, 1000)
    average = ema.module
    outputs(average, images)
    scales = [m.scale for m in average.modules() if isinstance(m, Quantizer)]
    assert all(math.log2(float(scale)) % 1 == 0 for scale in scales)
    assert all(float(tensor) % 1 == pytest.approx(0.6) for _, tensor in ranges(average))


@pytest.mark.parametrize("how", ["learned", "statistics"])
def test_evaluation_leaves_everything_as_it_is(how: Thresholds, tmp_path: Path) -> None:
    q, images = quantized(tmp_path)
    find_ranges(q, how)
    q.train()(images)
    before = copy.deepcopy(q.state_dict())
    inside = outputs(q.eval(), images)
    assert all(torch.equal(value, before[key]) for key, value in q.state_dict().items())
    if how == "learned":
        assert torch.equal(outputs(q.train(), images), inside)


def test_a_compiled_graph_has_no_break_and_computes_the_same(tmp_path: Path) -> None:
    q, images = quantized(tmp_path)
    find_ranges(q, "learned")
    compiled = copy.deepcopy(q).train()
    whole = torch.compile(compiled, backend="aot_eager", fullgraph=True)
    found = []
    for network, owner in ((q.train(), q), (whole, compiled)):
        out = network(images)["class"]
        out.square().sum().backward()
        found.append([out, *(p.grad for p in owner.parameters())])
    for plain, other in zip(*found, strict=True):
        torch.testing.assert_close(plain, other)


# ---------------------------------------------------------------------------------------------- statistics


def test_ends_leave_out_a_ten_thousandth_at_each_side() -> None:
    x = torch.linspace(0, 1, 100_001)
    x[:5], x[-5:] = -3.0, 7.0  # fewer than ten values
    low, high = ends(x).tolist()
    assert low == pytest.approx(0.0, abs=2 * 10 / BINS)
    assert high == pytest.approx(1.0, abs=2 * 10 / BINS)
    x[:50] = -3.0
    assert float(ends(x)[0]) == pytest.approx(-3.0)


def test_the_average_of_ends_is_that_of_the_original() -> None:
    """Its factor is 1 / n, at least 0.001, where the first two batches count as n = 1."""
    made = Statistics(0, 255, power_of_two=True)
    kept = made.right_inverse(torch.tensor(2.0**-6))
    assert float(made(kept)) == 2.0**-6
    for seen in (9.0, 2.0, 4.0):
        made.average(kept, torch.tensor([0.0, seen]))
    assert kept.tolist() == [0.0, 3.0]
    assert float(made(kept)) == 4.0 / 256
    made.count.fill_(10**6)
    made.average(kept, torch.tensor([0.0, 1003.0]))
    assert float(kept[1]) == pytest.approx(4.0)


def test_statistics_follow_values_and_weights_while_they_watch(tmp_path: Path) -> None:
    q, images = quantized(tmp_path)
    find_ranges(q, "statistics")
    layer, quantizer = q.get_submodule("conv2"), q.get_submodule("quantizers.relu_1")
    assert isinstance(layer, QuantLayer)
    assert isinstance(quantizer, Quantizer)
    with torch.no_grad():
        layer.weight *= 8
        layer.bias *= 8
    before = float(quantizer.scale), float(layer.weight_scale)
    q.train()(images)
    q(images)
    assert (float(quantizer.scale) / before[0], float(layer.weight_scale) / before[1]) == (8, 8)
    for one, _ in ranges(q):
        assert isinstance(one, Statistics)
        one.watching = False
    with torch.no_grad():
        layer.weight *= 8
    q(images)
    assert float(layer.weight_scale) / before[1] == 8


def test_signed_tensors_have_statistics_on_both_sides() -> None:
    numbers = TensorQuant(8)
    made = Statistics(numbers.low, numbers.high, power_of_two=True)
    assert float(made(torch.tensor([-5.0, 1.0]))) == 8 / 128
    free = Statistics(numbers.low, numbers.high, power_of_two=False)
    assert float(free(torch.tensor([-64.0, 127.0]))) == 1.0


def test_a_scale_for_each_channel_is_learned_for_each_channel(tmp_path: Path) -> None:
    context = tiny_context(tmp_path, chosen=scheme.pow2(weights="channel"))
    q = ptq(context, num_images=40)
    find_ranges(q, "learned")
    shapes = {tuple(tensor.shape) for _, tensor in ranges(q)}
    assert shapes == {(), (8,), (3,)}
