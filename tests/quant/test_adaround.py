"""Adaptive rounding against every rounding that there is."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.numbers import TensorQuant
from xvision.quant.observer import set_weight_scale
from xvision.quant.rungs.adaround import learned_rounding, round_adaptively, turned_over
from xvision.quant.schemes import scheme


def problem(seed: int, groups: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """Weights in steps (G, 1, 8), their scale, and second moments of inputs that go together."""
    random = torch.Generator().manual_seed(seed)
    mixing = torch.rand(groups, 8, 8, generator=random, dtype=torch.float64)
    inputs = mixing @ torch.randn(groups, 8, 400, generator=random, dtype=torch.float64)
    in_steps = 4 * torch.randn(groups, 1, 8, generator=random, dtype=torch.float64)
    return in_steps, torch.full_like(in_steps, 2.0**-4), inputs @ inputs.mT / 400


def error(up: Tensor, in_steps: Tensor, scale: Tensor, second: Tensor) -> Tensor:
    miss = (in_steps.floor() + up - in_steps) * scale
    return ((miss @ second) * miss).sum((1, 2))


def test_of_all_roundings_of_8_weights_nearly_the_best_are_found() -> None:
    best = nearest = learned = found = 0.0
    for seed in range(8):
        in_steps, scale, second = problem(seed)
        below = in_steps.floor()
        every = [error(torch.tensor([[up]]), in_steps, scale, second) for up in product((0.0, 1.0), repeat=8)]
        least = float(min(every))
        up = learned_rounding(in_steps, below, scale, second, 300, 0.03, 10.0)
        codes = turned_over(below + up, below, below + 1, in_steps * scale, scale, second)
        reached = float(error(codes - below, in_steps, scale, second))
        assert least * (1 - 1e-9) <= reached <= float(error(up, in_steps, scale, second)) * (1 + 1e-9)
        best, found = best + least, found + reached
        learned += float(error(up, in_steps, scale, second))
        nearest += float(error(in_steps.round() - below, in_steps, scale, second))
    assert learned < 0.4 * nearest  # learned by Adam alone
    assert found < best + 0.2 * (nearest - best)


def test_turns_end_where_no_single_one_helps() -> None:
    in_steps, scale, second = problem(0, groups=3)
    below = in_steps.floor()
    codes = turned_over(below.clone(), below, below + 1, in_steps * scale, scale, second)
    reached = error(codes - below, in_steps, scale, second)
    for k in range(8):
        other = codes.clone()
        other[:, :, k] = 2 * below[:, :, k] + 1 - other[:, :, k]
        assert bool((error(other - below, in_steps, scale, second) >= reached - 1e-12).all())


LAYERS = {
    "conv": (nn.Conv2d(4, 6, 3, padding=1), (4, 12, 12)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), (4, 12, 12)),
    "depthwise": (nn.Conv2d(4, 4, 3, groups=4), (4, 12, 12)),
    "linear": (nn.Linear(12, 6), (12,)),
}


@pytest.mark.parametrize("weights", ["tensor", "channel"])
@pytest.mark.parametrize("name", LAYERS)
@torch.no_grad()
def test_every_kind_of_layer_comes_nearer_to_its_float_output(name: str, weights: str) -> None:
    torch.manual_seed(0)
    original, shape = LAYERS[name]
    source = Quantizer(TensorQuant(8, signed=False))
    source.set_range(2.0**-5, 0)
    layer = QuantLayer.of(original, scheme.pow2(weights=weights).build(), source)
    layer.numbers = TensorQuant(4, granularity=layer.numbers.granularity)
    set_weight_scale(layer)
    mixing = torch.rand(shape[0], shape[0])
    inputs = [source(torch.einsum("bi...,ij->bj...", torch.rand(200, *shape), mixing)) for _ in range(2)]
    wanted = [original(x) for x in inputs]
    before = float((layer(inputs[1]) - wanted[1]).square().sum())
    round_adaptively(layer, inputs[:1], wanted[:1], weight=original.weight, steps=100, lr=0.03, penalty=0.01)
    assert float((layer(inputs[1]) - wanted[1]).square().sum()) < 0.8 * before
    codes = layer.codes()[0].float() * layer.spread(layer.weight_scale)
    assert torch.equal(codes, layer.weight), "weights are on their grid"
