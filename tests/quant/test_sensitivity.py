"""Sensitivity finds what was made hard on purpose, and switching a place changes it alone."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

import xvision as xv
from tests.quant.patterns import PATTERNS, Pattern, conv_bn, trained
from tests.quant.test_calibration_images import smooth
from tests.train.tiny import TinyNet, tiny_loader, tiny_task
from xvision.quant.findings import Sensitivity, noise_ratio, signal_db
from xvision.quant.insert import prepare, scheme_of
from xvision.quant.methods import method
from xvision.quant.plan import Limit, plan, predicted_db
from xvision.quant.sensitivity import Labelled, sensitivity
from xvision.quant.settings import Quant
from xvision.quant.state import load, save
from xvision.quant.switched import Switched

RANGES_ALONE = method.ptq(rungs="mse")
pytestmark = pytest.mark.filterwarnings("ignore:.*look like noise")


class Hard(nn.Module):
    """Three layers; one output channel of the second is 100 times as large, and the third takes that back."""

    def __init__(self, factor: float = 100.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 16, 3, 2, 1)
        self.third, self.head = nn.Conv2d(16, 16, 3, 1, 1), nn.Conv2d(16, 8, 1)
        with torch.no_grad():
            self.second.weight[5] *= factor
            self.second.bias[5] *= factor
            self.third.weight[:, 5] /= factor

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.second(F.relu(self.first(x))))
        scores: Tensor = self.head(F.relu(self.third(x))).mean((2, 3))
        return scores


IMAGES = smooth(32).float() / 64 - 2


def quantized(model: nn.Module, images: Tensor) -> fx.GraphModule:
    return cast(fx.GraphModule, xv.quantize(model, images, method=RANGES_ALONE))


@pytest.fixture(scope="module")
def hard() -> tuple[Hard, fx.GraphModule, Sensitivity]:
    model = Hard()
    q = quantized(model, IMAGES)
    return model, q, sensitivity(q, model, IMAGES)


def test_the_layer_that_was_made_hard_comes_first(hard: tuple[Hard, fx.GraphModule, Sensitivity]) -> None:
    _, _, found = hard
    assert {(site.kind, site.name) for site in found.worst[:2]} == {
        ("weights", "second"),
        ("activations", "relu_1"),
    }
    assert found.share(found.worst[0]) + found.share(found.worst[1]) > 0.85
    best = max(found.sites, key=lambda site: site.without_db["out0"])
    assert best in found.worst[:2]
    assert best.without_db["out0"] > found.heads_db["out0"] + 1
    assert found.num_images == 32
    assert found.macs["second"] == 16 * 16 * 16 * 16 * 9


def test_the_channel_is_named(hard: tuple[Hard, fx.GraphModule, Sensitivity]) -> None:
    _, _, found = hard
    named = {(one.kind, one.name, one.channel) for one in found.outliers}
    assert named == {("weights", "second", 5), ("activations", "relu_1", 5)}
    assert all(20 < one.ratio < 500 for one in found.outliers)
    easy = Hard(factor=1.0)
    found = sensitivity(quantized(easy, IMAGES), easy, IMAGES)
    assert not found.outliers
    assert not found.conflicts
    assert max(found.share(site) for site in found.sites) < 0.6


def test_its_plan_finds_it_and_wins_what_it_says(hard: tuple[Hard, fx.GraphModule, Sensitivity]) -> None:
    model, _, found = hard
    costs = dict.fromkeys(found.macs, 1)
    made = plan(found, costs, Limit("share", 0.25))
    assert made.layers == {"second": "a16"}, "its tensor; weights of 8 bits are all that there are"
    scheme = Quant.model_validate({"layers": made.layers}).numbers()
    q = cast(fx.GraphModule, xv.quantize(model, IMAGES, scheme=scheme, method=RANGES_ALONE))
    after = sensitivity(q, model, IMAGES)
    assert after.noise < found.noise
    assert signal_db(after.noise) == pytest.approx(predicted_db(found, made.sites), abs=1)


def test_noise_of_places_adds_up(hard: tuple[Hard, fx.GraphModule, Sensitivity]) -> None:
    easy = Hard(factor=1.0)
    found = sensitivity(quantized(easy, IMAGES), easy, IMAGES)
    assert 0.5 < found.total / found.noise < 2


@pytest.mark.parametrize("name", ["concat", "squeeze_excite", "affinity", "two_heads"])
def test_places_are_switched_alone(name: str) -> None:
    """What is computed step by step from shared beginnings is what each network computes as a whole."""
    model, planes = trained(name)
    q = cast(fx.GraphModule, xv.quantize(model, [planes], method=RANGES_ALONE))
    switched = Switched(q, prepare(model, planes, scheme_of(q)))
    with torch.no_grad():
        wanted = {key: y.clone() for key, y in model(*planes).items()}
        for mode in ("alone", "without"):
            found = dict(switched.each(planes, mode))
            for site in switched.sites:
                others = [one for one in switched.sites if (one is site) == (mode == "without")]
                with switched.in_float(others):
                    whole = switched(*planes)
                assert all(torch.equal(whole[key], y) for key, y in found[site].items()), site
            plain = found[None]
            for key, y in plain.items():
                if mode == "alone":
                    torch.testing.assert_close(y, wanted[key])
                else:
                    assert torch.equal(y, q(*planes)[key])
    assert all(torch.equal(y, q(*planes)[key]) for key, y in switched(*planes).items()), (
        "nothing stays switched"
    )


def test_pixels_lose_nothing_and_products_have_two_readers() -> None:
    model, planes = trained("affinity")
    q = cast(fx.GraphModule, xv.quantize(model, [planes], method=RANGES_ALONE))
    found = sensitivity(q, model, [planes])
    assert "pixels" not in {site.name for site in found.sites}
    products = [name for name in found.macs if name.startswith("body_matmul")]
    assert len(products) == 2
    assert sum(product in site.readers for site in found.sites for product in products) == 4


def test_ranges_that_do_not_go_together() -> None:
    class Joined(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.a, self.b, self.fuse, self.factor = (
                conv_bn(16, 8),
                conv_bn(16, 8, 1),
                conv_bn(16, 16, 1),
                factor,
            )

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.fuse(torch.cat((self.a(x), self.factor * self.b(x)), dim=1)))

    images = torch.randint(0, 256, (8, 3, 24, 24), dtype=torch.uint8)
    even, uneven = (Pattern(Joined(factor)).eval() for factor in (1.0, 30.0))
    assert not sensitivity(quantized(even, images), even, images).conflicts
    (conflict,) = sensitivity(quantized(uneven, images), uneven, images).conflicts
    assert conflict.operator == "concat"
    assert len(conflict.ranges) == 2
    assert 3 < conflict.bits_lost < 7


def test_the_metric_of_labelled_images() -> None:
    network, task = TinyNet().eval(), tiny_task()
    batches = list(tiny_loader(24, train=False).epoch(0))
    images = [network.inputs.encode(batch) for batch in batches]
    q = cast(fx.GraphModule, xv.quantize(network, images, method=RANGES_ALONE))
    found = sensitivity(q, network, images, labelled=Labelled(task, batches, network.inputs))
    assert (found.metric, found.num_labelled) == ("classification/top1", 24)
    assert found.float_metric is not None
    metrics = [one for site in found.sites for one in (site.alone_metric, site.without_metric)]
    assert len(metrics) == 2 * len(found.sites)
    assert all(one is not None and abs(one - found.float_metric) < 20 for one in metrics)
    assert sensitivity(q, network, images).sites[0].alone_metric is None


def test_what_was_found_is_kept_with_the_network(
    hard: tuple[Hard, fx.GraphModule, Sensitivity], tmp_path: Path
) -> None:
    model, q, found = hard
    back = load(save(q, tmp_path / "model.safetensors"))
    assert back.meta["sensitivity"] == found
    again = sensitivity(back, model, IMAGES)
    assert [site.alone_db for site in again.sites] == [site.alone_db for site in found.sites]


def test_other_networks_are_refused(tmp_path: Path) -> None:
    """A stored network, which does not hold its original."""
    model, planes = trained("conv_relu")
    q = load(save(xv.quantize(model, [planes], method=RANGES_ALONE), tmp_path / "model.safetensors"))
    other, _ = trained("add_relu")
    with pytest.raises(
        ValueError, match="expected a quantized network and the float network that it was made from"
    ):
        sensitivity(q, other, [planes])
    with pytest.raises(ValueError, match="Pattern: expected a quantized network, got a float one"):
        sensitivity(model, model, [planes])


def test_scales_that_were_moved_between_layers_are_refused(tmp_path: Path) -> None:
    moved = Hard(factor=1.0)
    with torch.no_grad():
        moved.second.weight[3:9] /= 50
        moved.second.bias[3:9] /= 50
        moved.third.weight[:, 3:9] *= 50
    q = load(save(quantized(moved, IMAGES), tmp_path / "model.safetensors"))
    with pytest.raises(
        ValueError, match=r"weights of \w+ to be those of the float network .*: the method has moved"
    ):
        sensitivity(q, Hard(factor=1.0), IMAGES)


def test_a_method_that_moves_scales_keeps_the_network_that_it_moved_them_in(tmp_path: Path) -> None:
    model = Hard()
    q = cast(fx.GraphModule, xv.quantize(model, IMAGES, method=method.ptq(rungs="mse,equalize")))
    assert [rung.kept for rung in q.meta["quality"].rungs] == [True, True]
    found = sensitivity(q, model, IMAGES)
    assert 0.5 < found.total / found.noise < 2
    assert not [one for one in found.outliers if one.kind == "weights" and one.ratio > 50]
    with pytest.raises(ValueError, match="they fit only together with those of other layers"):
        sensitivity(load(save(q, tmp_path / "model.safetensors")), model, IMAGES)


def test_noise_of_several_outputs_is_their_mean() -> None:
    assert noise_ratio({"a": 20.0, "b": 40.0}) == pytest.approx((0.01 + 0.0001) / 2)
    model, planes = trained("two_heads")
    assert "two_heads" in PATTERNS
    found = sensitivity(xv.quantize(model, [planes], method=RANGES_ALONE), model, [planes])
    assert len(found.heads_db) == 2
    assert all(site.alone_db.keys() == found.heads_db.keys() for site in found.sites)
