"""What is special about quantization-aware training: its groups of parameters, and what happens between its steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import fx

from tests.quant.tiny_context import tiny_context
from tests.train.tiny import TinyNet
from xvision.quant.aware import REACH, QuantizationAware, warn_of_untrained
from xvision.quant.fake import QuantLayer
from xvision.quant.learned import LearnedScale, Statistics, Thresholds, find_ranges, ranges
from xvision.quant.methods.ptq import ptq
from xvision.train.settings import Train


def learning(folder: Path, how: Thresholds = "learned") -> fx.GraphModule:
    q = ptq(tiny_context(folder), num_images=40)
    find_ranges(q, how)
    return q


def test_weights_biases_and_ranges_are_groups_of_their_own(tmp_path: Path) -> None:
    q = learning(tmp_path)
    regime = QuantizationAware(threshold_rate=100.0, freeze_after=0.5)
    weights, biases, thresholds = regime.groups(q, Train(decay="weights"))
    layers = [m for m in q.modules() if isinstance(m, QuantLayer)]
    assert [id(p) for p in weights["params"]] == [id(m.weight) for m in layers]
    assert [id(p) for p in biases["params"]] == [id(m.bias) for m in layers]
    assert len(thresholds["params"]) == len(list(ranges(q)))
    assert [group.get("weight_decay") for group in (weights, biases, thresholds)] == [None, 0.0, 0.0]
    assert sum(len(g["params"]) for g in (weights, biases, thresholds)) == len(list(q.parameters()))
    rates = [[regime.rate(g, progress) for g in (weights, biases, thresholds)] for progress in (0.0, 0.5)]
    assert rates == [[1.0, 1.0, 100.0], [1.0, 1.0, 0.0]]


def test_thresholds_stay_at_the_exponent_that_they_had_most_of_the_time(tmp_path: Path) -> None:
    q = learning(tmp_path)
    regime = QuantizationAware(100.0, freeze_after=0.5)
    (one, tensor), *_ = ranges(q)
    assert isinstance(one, LearnedScale)
    start = float(one.start)
    for step in range(400):
        regime.before_step(q, step, 1000)
        with torch.no_grad():
            tensor.fill_(start + (1.0 if step % 4 else 0.0))  # three of four steps an octave higher
    assert tensor.ceil() - one.start.ceil() == 1
    for step in range(400, 501):
        with torch.no_grad():
            tensor.fill_(start)  # the last value is not the usual one
        regime.before_step(q, step, 1000) if step in (400, 500) else None
    assert tensor.item() == start + 1


def test_freezing_happens_once_and_again_in_a_resumed_training(tmp_path: Path) -> None:
    q = learning(tmp_path)
    regime = QuantizationAware(100.0, freeze_after=0.25)
    (one, tensor), *_ = ranges(q)
    assert isinstance(one, LearnedScale)
    moved = float(one.start) + 0.3
    frozen = []
    for step in (0, 1, 2, 3):
        with torch.no_grad():
            tensor.fill_(moved)
        regime.before_step(q, step, 8)
        frozen.append(tensor.item() == float(one.start))
    assert frozen == [False, False, True, False]


def test_no_range_moves_out_of_reach(tmp_path: Path) -> None:
    q = learning(tmp_path)
    (one, tensor), *_ = ranges(q)
    assert isinstance(one, LearnedScale)
    for far in (-100.0, 100.0):
        with torch.no_grad():
            tensor.fill_(far)
        QuantizationAware(100.0, 1.0).before_step(q, 1, 100)
        assert abs(tensor.item() - float(one.start)) == REACH


def test_statistics_watch_until_they_are_frozen(tmp_path: Path) -> None:
    q = learning(tmp_path, "statistics")
    watching = []
    for step in (0, 3, 4):
        QuantizationAware(100.0, 0.5).before_step(q, step, 8)
        watching.append({one.watching for one, _ in ranges(q) if isinstance(one, Statistics)})
    assert watching == [{True}, {True}, {False}]


def test_a_bias_of_few_bits_keeps_its_room(tmp_path: Path) -> None:
    q = learning(tmp_path)
    layer = q.get_submodule("conv2")
    assert isinstance(layer, QuantLayer)
    layer.bias_numbers = type(layer.numbers)(16)
    with torch.no_grad():
        layer.bias[3] = 40.0
    assert layer.bias.abs().max() > layer.accumulator_scale() * layer.bias_numbers.high
    QuantizationAware(100.0, 0.0).before_step(q, 50, 100)
    steps = layer.bias.abs().max() / layer.accumulator_scale()
    assert layer.bias_numbers.high / 2 < steps <= layer.bias_numbers.high


@pytest.mark.parametrize(("bits", "moves"), [(4, True), (8, False)])
def test_damping_draws_weights_of_few_bits_to_their_codes(bits: int, moves: bool, tmp_path: Path) -> None:
    q = learning(tmp_path)
    layer = q.get_submodule("conv2")
    assert isinstance(layer, QuantLayer)
    layer.numbers = type(layer.numbers)(bits)
    on_grid = layer.parameters_on_grid()[0].detach()
    before = (layer.weight.detach() - on_grid).abs()
    QuantizationAware(100.0, 1.0, damping=0.5).before_step(q, 50, 100)
    after = (layer.weight.detach() - on_grid).abs()
    torch.testing.assert_close(after, before * 0.75 if moves else before, rtol=1e-4, atol=1e-7)


def test_batch_norms_that_have_seen_no_image_are_named() -> None:
    network = TinyNet()
    with pytest.warns(
        UserWarning, match=r"^TinyNet: expected a trained network, got 1 batch norms .* \(first: norm\);"
    ):
        warn_of_untrained(network)
    network(torch.randint(0, 255, (4, 3, 8, 8), dtype=torch.uint8))
    warn_of_untrained(network)
