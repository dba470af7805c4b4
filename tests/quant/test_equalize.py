"""Equalization and split of channels leave the float function as it is, and the integer one nearer to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xvision.quant.context import Context
from xvision.quant.fake import QuantLayer
from xvision.quant.fitting import Fitting
from xvision.quant.ladder import Ladder
from xvision.quant.regions import copies_pass, largest_of_inputs, largest_of_outputs, regions, scales_pass
from xvision.quant.rungs import rung
from xvision.quant.schemes import scheme


class Bottlenecks(nn.Module):
    """Two inverted residual blocks on one stream, the second without a sum, and a classifier."""

    def __init__(self, act: Callable[[Tensor], Tensor] = F.relu) -> None:
        super().__init__()
        self.act = act
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.expand = nn.Conv2d(8, 16, 1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.project = nn.Conv2d(16, 8, 1)
        self.grouped = nn.Conv2d(8, 16, 3, padding=1, groups=2)
        self.last = nn.Conv2d(16, 12, 1)
        self.after = nn.Conv2d(12, 16, 1)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = x + self.project(self.act(self.depthwise(self.act(self.expand(x)))))
        x = self.last(self.act(self.grouped(x)))
        x = F.max_pool2d(F.relu(self.after(x)), 2)
        return self.head(x.mean((2, 3)))


def uneven(model: nn.Module) -> nn.Module:
    """Layers whose channels differ by up to 16 times in both directions, with biases."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            factors = 2 ** torch.empty(module.out_channels).uniform_(-4, 4)
            module.weight.data *= factors.reshape(-1, 1, 1, 1)
            module.bias.data = factors * torch.randn(module.out_channels)
    return model.eval()


def ladder_of(model: nn.Module) -> Ladder:
    torch.manual_seed(1)
    batches = [(torch.randn(10, 3, 16, 16),) for _ in range(5)]
    ladder = Ladder(Context(model, scheme.pow2().build(), lambda: iter(batches)), 50)
    ladder.climb(rung.mse())
    return ladder


def built(ladder: Ladder, name: str, **settings: float) -> Fitting:
    fitting = ladder.fitting.copied()
    rung.part(name, settings).build(fitting)
    return fitting


def layers(fitting: Fitting) -> dict[str, QuantLayer]:
    found = {name: fitting.reference.get_submodule(name) for name in fitting.quant_layers()}
    return {name: layer for name, layer in found.items() if isinstance(layer, QuantLayer)}


@pytest.mark.parametrize(("name", "settings"), [("equalize", {}), ("split_channels", {"max_ratio": 0.5})])
@pytest.mark.parametrize("act", [F.relu, F.relu6, F.hardswish])
def test_the_float_function_stays(
    name: str, settings: dict[str, float], act: Callable[[Tensor], Tensor]
) -> None:
    model = uneven(Bottlenecks(act))
    ladder = ladder_of(model)
    after = built(ladder, name, **settings)
    x = 3 * torch.randn(16, 3, 16, 16)  # other images, and brighter ones
    with torch.no_grad():
        before, found = (one.reference(x)["out0"] for one in (ladder.fitting, after))
    assert float((found - before).abs().max() / before.abs().max()) < 1e-5
    changed = [n for n, layer in layers(after).items() if not _equal(layer, layers(ladder.fitting)[n])]
    assert changed, "something was to do"


def _equal(a: QuantLayer, b: QuantLayer) -> bool:
    return (
        a.weight.shape == b.weight.shape and torch.equal(a.weight, b.weight) and torch.equal(a.bias, b.bias)
    )


def test_integers_are_nearer_to_the_equalized_network() -> None:
    ladder = ladder_of(uneven(Bottlenecks()))
    ladder.climb(rung.equalize())
    assert ladder.rungs[-1].kept
    assert ladder.heads_db["out0"] > ladder.rungs[0].heads_db["out0"] + 3


def test_regions_are_sums_and_layers_up_to_what_has_a_scale_of_its_own() -> None:
    graph = ladder_of(uneven(Bottlenecks(F.relu6))).fitting.reference
    found = {(tuple(sorted(r.sources)), tuple(sorted(r.sinks))) for r in regions(graph, scales_pass)}
    assert found == {
        (("project", "stem"), ("expand", "grouped")),
        (("last",), ("after",)),
        (("after",), ("head",)),
    }
    copies = {(tuple(r.sources), tuple(r.sinks)) for r in regions(graph, copies_pass)}
    assert (("expand",), ("depthwise",)) in copies
    assert not any("stem" in sources for sources, _ in copies)  # a sum


def test_relu6_keeps_its_cap() -> None:
    ladder = ladder_of(uneven(Bottlenecks(F.relu6)))
    after, before = layers(built(ladder, "equalize")), layers(ladder.fitting)
    # what gives the capped tensors keeps the scale of its outputs
    for name in ("expand", "depthwise", "grouped"):
        assert torch.equal(after[name].bias, before[name].bias)
    assert torch.equal(after["depthwise"].weight, before["depthwise"].weight)


def test_weights_that_give_a_channel_are_as_large_as_those_that_take_it() -> None:
    ladder = ladder_of(uneven(Bottlenecks()))
    before = layers(ladder.fitting)
    after = layers(built(ladder, "equalize"))

    def unevenness(found: dict[str, QuantLayer]) -> float:
        given, taken = largest_of_outputs(found["last"]), largest_of_inputs(found["after"])
        return float((given / taken).log2().std())

    assert unevenness(after) < 0.5 * unevenness(before)


def test_no_channel_grows_beyond_its_tensor() -> None:
    ladder = ladder_of(uneven(Bottlenecks()))
    after, graph = built(ladder, "equalize"), ladder.fitting.reference
    for region in regions(graph, scales_pass):
        names = [str(node.target) for node in region.inside if str(node.target) in ladder.fitting.seen]
        before, now = (
            max(max(-fitting.seen[name].low, fitting.seen[name].high) for name in names)
            for fitting in (ladder.fitting, after)
        )
        assert now <= 1.001 * before, names


def test_a_bias_is_absorbed_where_nothing_lies_between() -> None:
    ladder = ladder_of(uneven(Bottlenecks()))
    seen, now = ladder.fitting.seen, built(ladder, "equalize").seen
    centred = now["quantizers.last"]
    assert abs(centred.low + centred.high) < 1e-3 * (centred.high - centred.low)
    assert abs(seen["quantizers.last"].low + seen["quantizers.last"].high) > 0.01


def test_an_outlier_is_split_in_two_halves() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 40, 3), nn.ReLU6(), nn.Conv2d(40, 4, 1)).eval()
    with torch.no_grad():
        model[2].weight.mul_(0.4 / model[2].weight.abs().max())  # type: ignore[union-attr, operator]
        model[2].weight[1, 7, 0, 0] = 0.9  # type: ignore[index]
    ladder = ladder_of(model)
    after = built(ladder, "split_channels")
    first, second = after.quant_layers().values()
    assert first.weight.shape == (41, 3, 3, 3)
    assert torch.equal(first.weight[40], first.weight[7])
    assert second.weight.shape == (4, 41, 1, 1)
    assert second.weight[1, [7, 40], 0, 0].tolist() == pytest.approx([0.45, 0.45])
    ladder.climb(rung.split_channels())
    assert ladder.rungs[-1].kept
    shapes = [n.meta["shape"][1] for n in ladder.graph.graph.nodes if "shape" in n.meta]
    assert shapes.count(41) == 3  # the layer, its clip, their quantizer


def test_the_rewritten_float_network_goes_with_the_integer_one() -> None:
    ladder = ladder_of(uneven(Bottlenecks()))
    assert "original" not in ladder.graph.meta
    ladder.climb(rung.equalize())
    original, x = ladder.graph.meta["original"], torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(original(x)["out0"], ladder.context.network(x), rtol=0, atol=1e-2)
    assert torch.equal(original.get_submodule("expand").weight, layers(ladder.fitting)["expand"].weight)
