"""The method that climbs: it stops when enough is reached, climbs when not, and trains in the end if asked."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, fx, nn

import xvision as xv
from tests.train.tiny import tiny_loader, tiny_task
from xvision.console import Console
from xvision.data.loader import Loader
from xvision.models.inputs import Inputs
from xvision.models.pixels import Pixels
from xvision.quant.context import Context
from xvision.quant.drop import Drop, Score, drop
from xvision.quant.fitting import Fitting, Ranges
from xvision.quant.methods import method
from xvision.quant.methods.auto import auto
from xvision.quant.methods.ptq import ptq
from xvision.quant.observer import set_weight_scale
from xvision.quant.quality import RungQuality
from xvision.quant.rungs import rung
from xvision.quant.rungs.minmax import widest
from xvision.quant.schemes import scheme


class Colours(nn.Module):
    """Tells which colour is strongest: right on all of the tiny images but a few."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs, self.pixels = Inputs(), Pixels("rgb")
        self.conv, self.head = nn.Conv2d(3, 3, 1), nn.Linear(3, 3)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(3).reshape(3, 3, 1, 1))
            self.conv.bias.fill_(2.0)  # type: ignore[union-attr]
            self.head.weight.copy_(torch.eye(3))
            self.head.bias.zero_()

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        return {"class": self.head(self.conv(self.pixels(image)).relu().mean(dim=(2, 3)))}


def never() -> Loader:
    raise AssertionError("images of validation are not looked at")


def context(console: Console | None = None) -> Context:
    network = Colours().eval()

    def judging(num_calibration: int) -> Loader:
        asked.append(num_calibration)
        return tiny_loader(60, batch_size=6, train=False)

    asked: list[int] = []
    made = Context(
        network,
        scheme.pow2().build(),
        lambda: (network.inputs.encode(batch) for batch in tiny_loader(40, train=False).epoch(0)),
        task=tiny_task(),
        train_loader=lambda *_: tiny_loader(),
        val_loader=never,
        judging=judging,
        num_train=100,
        console=console or Console(quiet=True),
    )
    vars(made)["asked"] = asked
    return made


def spoiled(fitting: Fitting) -> None:
    """Ranges so wide that all outputs are equal."""
    fitting.find_ranges(Ranges(lambda seen, numbers: (1e4 * widest(seen, numbers)[0], 0), set_weight_scale))


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rung, "_own", {})
    rung(spoiled)


def rungs_of(q: fx.GraphModule) -> tuple[RungQuality, ...]:
    found: tuple[RungQuality, ...] = q.meta["quality"].rungs
    return found


def test_it_stops_when_little_enough_is_lost(capsys: pytest.CaptureFixture[str]) -> None:
    made = context(Console())
    (only,) = rungs_of(auto(made, max_drop=5.0, num_images=40, rungs="mse,bias,weights"))
    assert (only.name, only.kept) == ("mse", True)
    assert only.metric is not None
    assert only.metric > 90
    assert only.drop is not None
    assert only.drop <= 5
    assert vars(made)["asked"] == [40]
    said = capsys.readouterr().out
    assert "judged by top-1 accuracy on 60 training images that calibration does not use" in said
    assert f"mse: class {only.heads_db['class']:.1f} dB, metric {only.metric:.2f}, drop" in said


def test_it_climbs_on_while_too_much_is_lost() -> None:
    found = rungs_of(auto(context(), max_drop=5.0, num_images=40, rungs="spoiled,mse,weights"))
    assert [one.name for one in found] == ["spoiled", "mse"]
    first, second = found
    assert first.drop is not None
    assert first.drop > 50 > 5 >= (second.drop or 0)


def test_a_rung_that_stays_out_is_not_measured() -> None:
    found = rungs_of(auto(context(), max_drop=0.0, num_images=40, rungs="mse,spoiled"))
    if len(found) == 2:
        assert (found[1].kept, found[1].metric) == (False, None)
    spoilt_last = rungs_of(auto(context(), max_drop=0.0, num_images=40, rungs="spoiled"))
    assert spoilt_last[0].drop is not None


begun: list[fx.GraphModule | None] = []


def helps(context: Context) -> fx.GraphModule:
    """A training that finds a good network."""
    begun.append(context.quantized)
    return ptq(replace(context, quantized=None), num_images=40)


def harms(context: Context) -> fx.GraphModule:
    """A training that spoils the network."""
    return ptq(replace(context, quantized=None), num_images=40, rungs="spoiled")


def called_qat(training: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a training under the name that is asked for."""
    monkeypatch.setattr(method, "_own", {})
    method(training)
    ((_, builder),) = method._own.items()
    monkeypatch.setattr(method, "_own", {"qat": replace(builder, name="qat")})


def test_it_trains_in_the_end_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    called_qat(helps, monkeypatch)
    begun.clear()
    q = auto(context(), max_drop=5.0, num_images=40, qat=True, rungs="spoiled")
    first, last = rungs_of(q)
    assert (first.name, last.name, last.kept) == ("spoiled", "qat", True)
    assert last.drop is not None
    assert last.drop <= 5
    assert isinstance(begun[0], fx.GraphModule), "training begins where the rungs ended"
    assert [
        one.name for one in rungs_of(auto(context(), max_drop=5.0, num_images=40, qat=True, rungs="mse"))
    ] == ["mse"]
    assert len(begun) == 1, "no training where it is not needed"


def test_a_training_that_makes_it_worse_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    called_qat(harms, monkeypatch)
    q = auto(context(), max_drop=-100.0, num_images=40, qat=True, rungs="mse")
    first, last = rungs_of(q)
    assert (last.name, last.kept) == ("qat", False)
    assert q.meta["quality"].heads_db == first.heads_db


def test_what_is_still_lost_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    auto(context(Console()), max_drop=0.5, num_images=40, rungs="spoiled")
    assert "quant.max_drop: expected to lose at most 0.5 points, got 6" in capsys.readouterr().err


def test_labelled_images_are_left_for_judging() -> None:
    made = context()
    auto(made, num_images=80, rungs="mse")
    assert vars(made)["asked"] == [50]  # half of 100


def test_without_labels_it_says_so() -> None:
    with pytest.raises(
        ValueError, match=r"^method: expected a task and labelled data to judge by, got calibration"
    ):
        xv.quantize(nn.Linear(2, 2), [torch.zeros(1, 2)], method="auto")


def test_the_error_of_a_drop_is_that_of_paired_differences() -> None:
    # by hand: differences 10, 0, 20, 10; mean 10, variance (0 + 100 + 100 + 0) / 3, error sqrt(66.67 / 4)
    before = Score(90.0, (90.0, 80.0, 100.0, 90.0))
    after = Score(80.0, (80.0, 80.0, 80.0, 80.0))
    found = drop(before, after, larger_is_better=True)
    assert found.value == 10
    assert found.standard_error == pytest.approx(math.sqrt(200 / 3 / 4))
    assert drop(before, after, larger_is_better=False).value == -10
    # the same differences around other scores: no error comes of what both networks find hard
    assert drop(Score(50.0, (10.0, 90.0)), Score(49.0, (9.0, 89.0)), True) == Drop(1.0, 0.0)
    assert drop(Score(50.0, (10.0, math.nan)), Score(49.0, (9.0, 3.0)), True) == Drop(1.0, None)
