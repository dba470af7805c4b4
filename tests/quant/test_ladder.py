"""Every rung helps or is undone; what it gave is kept with the network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, fx, nn

import xvision as xv
from tests.quant.patterns import planes_for, trained
from xvision.config.parts import Part
from xvision.quant.context import Context
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.fitting import Fitting, Ranges
from xvision.quant.ladder import Ladder
from xvision.quant.methods import method
from xvision.quant.observer import set_weight_scale
from xvision.quant.quality import Quality, heads_db
from xvision.quant.rungs import rung
from xvision.quant.rungs.minmax import widest
from xvision.quant.rungs.percentile import between
from xvision.quant.schemes import scheme
from xvision.quant.state import load, save

QUICK = {"adaround": {"steps": 30}, "tqt": {"steps": 20, "batch_size": 8}}
SCHEMES = [scheme.pow2(), scheme.pow2(weights="channel")]
RANGES = ("minmax", "percentile", "mse")


def quick(name: str) -> Part:
    return rung.part(name, QUICK.get(name, {}))


def ladder_of(name: str, chosen: Part) -> Ladder:
    """Of a pattern and 40 images."""
    model, _ = trained(name)
    batches = [planes_for(model, seed=seed) for seed in range(5)]
    return Ladder(Context(model, chosen.build(), lambda: iter(batches)), 40)


@pytest.mark.parametrize("chosen", SCHEMES, ids=str)
@pytest.mark.parametrize("name", rung.builders())
def test_a_rung_helps_or_stays_out(name: str, chosen: Part) -> None:
    ladder = ladder_of("depthwise_relu6", chosen)
    ladder.climb(rung.minmax())
    before, codes = ladder.heads_db, codes_of(ladder.graph)
    if name != "minmax":
        ladder.climb(quick(name))
    done = ladder.rungs[-1]
    assert done.name == name
    found = heads_db(
        ladder.graph, [ladder.fitting.reference(*p) for p in ladder.fitting.judged], ladder.fitting.judged
    )
    assert found == pytest.approx(ladder.heads_db, abs=0.01)
    if done.kept and name != "minmax":
        assert sum(ladder.heads_db.values()) > sum(before.values())
    else:
        assert all(torch.equal(a, b) for a, b in zip(codes, codes_of(ladder.graph), strict=True))
    assert all(m.ready for m in ladder.graph.modules() if isinstance(m, Quantizer | QuantLayer))


def codes_of(graph: fx.GraphModule) -> list[Tensor]:
    return [code for m in graph.modules() if isinstance(m, QuantLayer) for code in m.codes()]


@pytest.mark.parametrize("name", ["bias", "weights", "adaround", "tqt"])
def test_these_rungs_help(name: str) -> None:
    ladder = ladder_of("depthwise_relu6", scheme.pow2())
    ladder.climb(rung.minmax())
    ladder.climb(quick(name))
    assert ladder.rungs[-1].kept
    assert ladder.heads_db["class"] > ladder.rungs[0].heads_db["class"] + 0.5


@pytest.mark.parametrize("name", ["percentile", "mse", "output"])
def test_a_rare_value_may_saturate(name: str) -> None:
    torch.manual_seed(0)
    model, x = nn.Linear(64, 4), torch.rand(400, 64)
    x[::4, 0] = 60.0
    model.weight.data[:, 0] = 0.0
    ladder = Ladder(Context(model, scheme.pow2().build(), lambda: [(x,)]), 400)
    ladder.climb(rung.minmax())
    ladder.climb(rung.part(name, {"percent": 99.0} if name == "percentile" else {}))
    assert ladder.rungs[-1].kept
    assert ladder.heads_db["out0"] > ladder.rungs[0].heads_db["out0"] + 6


def test_what_makes_the_outputs_worse_stays_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rung, "_own", {})
    rung(spoiled)
    ladder = ladder_of("conv_relu", scheme.pow2())
    ladder.climb(rung.mse())
    codes, layers = codes_of(ladder.graph), dict(ladder.fitting.layers)
    ladder.climb(rung.spoiled())
    assert not ladder.rungs[-1].kept
    assert all(torch.equal(a, b) for a, b in zip(codes, codes_of(ladder.graph), strict=True))
    assert ladder.fitting.layers == layers
    quality = ladder.graph.meta["quality"]
    assert quality.dropped
    assert quality.heads_db == quality.heads_db_before == ladder.rungs[0].heads_db


def spoiled(fitting: Fitting) -> None:
    """Ranges that leave two codes."""
    fitting.find_ranges(Ranges(lambda seen, numbers: (64 * widest(seen, numbers)[0], 0), set_weight_scale))


@pytest.mark.parametrize("name", rung.builders())
def test_a_rung_may_come_first(name: str) -> None:
    ladder = ladder_of("conv_relu", scheme.pow2())
    ladder.climb(quick(name))
    names = [one.name for one in ladder.rungs]
    assert names == ([name] if name in RANGES else ["mse", name])
    assert all(m.ready for m in ladder.graph.modules() if isinstance(m, Quantizer | QuantLayer))


@pytest.mark.parametrize("name", ["mse", "weights", "adaround", "equalize", "split_channels", "tqt"])
def test_a_rung_gives_the_same_twice(name: str) -> None:
    first, again = (ladder_of("shuffle", scheme.pow2()) for _ in range(2))
    for ladder in (first, again):
        ladder.climb(rung.minmax())
        ladder.climb(quick(name))
    assert all(torch.equal(a, b) for a, b in zip(codes_of(first.graph), codes_of(again.graph), strict=True))


def test_a_stored_network_knows_what_each_rung_gave(tmp_path: Path) -> None:
    model, planes = trained("conv_relu")
    q = xv.quantize(model, [planes], method=method.ptq(rungs="minmax,mse,weights"))
    found: Quality = load(save(q, tmp_path / "q.safetensors")).meta["quality"]  # type: ignore[assignment, union-attr]
    made: Quality = q.meta["quality"]  # type: ignore[assignment, union-attr]
    assert [one.name for one in found.rungs] == ["minmax", "mse", "weights"]
    assert found == Quality.of(made.plain())
    assert any(one.seconds > 0 for one in made.rungs)
    assert not any(one.seconds for one in found.rungs)  # so that equal networks are equal files


def test_percentiles_are_those_of_the_values() -> None:
    from xvision.quant.observer import BINS, HistogramObserver

    x = torch.linspace(-1, 3, 100_001)
    seen = HistogramObserver()
    seen.update_range(x)
    seen.update_histogram(x)
    for percent in (99.0, 90.0):
        low, high = between(seen, percent)
        width = 4 / BINS
        assert abs(low - float(x.quantile(1 - percent / 100))) <= width
        assert abs(high - float(x.quantile(percent / 100))) <= width
    assert between(seen, 100.0) == pytest.approx((-1.0, 3.0))
