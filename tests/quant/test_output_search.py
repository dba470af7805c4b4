"""The search of scales on the output of a layer against all pairs of them."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import nn

from xvision.config.parts import Part
from xvision.quant.context import Context
from xvision.quant.fake import Quantizer
from xvision.quant.ladder import Ladder
from xvision.quant.observer import range_candidates, weight_candidates
from xvision.quant.rungs import rung
from xvision.quant.schemes import scheme


@pytest.mark.parametrize("chosen", [scheme.pow2(), scheme.pow2(weights="channel")], ids=str)
@torch.no_grad()
def test_no_pair_of_scales_has_less_error(chosen: Part) -> None:
    torch.manual_seed(0)
    model = nn.Conv2d(3, 4, 3, groups=1)
    model.weight.mul_(2 ** torch.randn(4, 1, 1, 1))
    x = torch.randn(40, 3, 8, 8) * torch.tensor([1.0, 0.1, 0.01]).reshape(3, 1, 1)
    x[0, 2, 0, 0] = 9.0  # an outlier that hardly counts
    ladder = Ladder(Context(model, chosen.build(), lambda: [(x,)]), 40)
    ladder.climb(rung.minmax())
    fitting = ladder.fitting.copied()
    rung.output(num_samples=30).build(fitting)
    (layer,) = fitting.quant_layers().values()
    images = fitting.fitted[0][0]
    wanted = model(images)

    def errors() -> torch.Tensor:
        return (layer(layer.source(images)) - wanted).double().square().sum((0, 2, 3))

    found, scale = errors(), (float(layer.source.scale), layer.weight_scale.clone())
    seen = next(iter(fitting.seen.values()))
    tried, zero_point = range_candidates(seen.low, seen.high, layer.source.numbers)
    assert len(tried) == 4
    largest = layer.weight.abs().flatten(1).amax(1)
    per_channel = layer.weight_scale.ndim == 1
    every: dict[tuple[float, int], torch.Tensor] = {}
    for of_input, k in product(tried, range(4)):
        layer.source.set_range(float(of_input), zero_point)
        layer.set_weight_scale(weight_candidates(layer, largest if per_channel else largest.max())[k].float())
        every[float(of_input), k] = errors()
    if per_channel:
        least = min(float(torch.stack([every[float(s), k] for k in range(4)]).amin(0).sum()) for s in tried)
    else:
        least = min(float(one.sum()) for one in every.values())
    assert float(found.sum()) == pytest.approx(least, rel=1e-9)
    assert scale[0] < float(tried[0]), "the outlier saturates"


class Two(nn.Module):
    """Two layers of one input."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 4), nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x) + self.b(x)


def test_an_input_that_two_layers_read_has_the_scale_that_is_best_for_the_first() -> None:
    torch.manual_seed(0)
    x, model = torch.randn(40, 6), Two()
    x[0, 0] = 30.0
    model.a.weight.data[:, 0] = 0  # it does not see the outlier, the other one does
    found = {}
    for name, network in (("both", model), ("first", model.a), ("second", model.b)):
        ladder = Ladder(Context(network, scheme.pow2().build(), lambda: [(x,)]), 40)
        ladder.climb(rung.minmax())
        fitting = ladder.fitting.copied()
        rung.output().build(fitting)
        found[name] = float(next(iter(fitting.quant_layers().values())).source.scale)
        assert all(m.ready for m in fitting.graph.modules() if isinstance(m, Quantizer))
    assert found["both"] == found["first"] < found["second"]
