"""From a run to what costs it most, to a plan, to a network of mixed precision beside the first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

import xvision as xv
from tests.test_cli import call
from xvision.quant.plan import Plan
from xvision.runs.run import Run

SMALL = (
    "data=scenes", "data.num_train=80", "data.num_val=8", "data.size=32x32", "net.backbone=resnet9",
    "train.batch_size=16", "train.workers=0", "train.threads=1", "train.max_steps=4", "quant.head_bits=8",
    "quant.num_images=48",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run up to its quantization, whose sensitivity was measured with labels."""
    out = tmp_path_factory.mktemp("runs") / "run"
    xv.run(xv.recipe("classification", *SMALL), out, until="quantize")
    assert call("quantize", str(out), "--sensitivity", "--images", "8", "--labelled", "16") == 0
    return out


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "run")
    return tmp_path / "run"


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(capsys.readouterr().out)
    return plain


def test_it_stands_in_file_record_and_report(made: Path, tmp_path: Path) -> None:
    run = Run(made)
    analysed = run.files.sensitivity("int8")
    assert analysed is not None
    assert (analysed.num_images, analysed.num_labelled) == (8, 16)
    found = analysed.found
    assert (found.num_images, found.num_labelled, found.metric) == (8, 16, "classification/top1")
    layers = [site for site in found.sites if site.kind == "weights"]
    assert len(layers) >= 9
    assert all(site.alone_metric is not None for site in found.sites)
    assert run.record.quantization["int8"].sensitivity == found
    assert "quant/int8/sensitivity.json" in run.record.artefacts
    assert call("report", str(made), "--out", str(tmp_path)) == 0
    assert "Where the quantization noise of int8 comes from" in (tmp_path / "report.html").read_text()


def test_it_is_measured_once(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["quantize", "--sensitivity", "--images", "8", "--labelled", "16"], ["report"]):
        assert call(words[0], str(copied), *words[1:]) == 0
        assert "sensitivity int8: up to date" in capsys.readouterr().out
    before = (copied / "report.html").read_text()
    assert call("quantize", str(copied), "--sensitivity", "--images", "4", "--json") == 0
    assert answer(capsys)["sensitivity"] == str(copied / "quant/int8/sensitivity.json")
    assert (copied / "report.html").read_text() != before, "a report that is there is written again"
    analysed = Run(copied).files.sensitivity("int8")
    assert analysed is not None
    assert (analysed.found.num_images, analysed.found.num_labelled) == (4, 0)


def test_another_quantization_has_none(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("quantize", str(copied), "quant.head_bits=16") == 0
    assert Run(copied).files.sensitivity("int8") is None
    assert "sensitivity" not in capsys.readouterr().out


def test_what_is_wrong_with_calibration_images_is_kept(copied: Path, tmp_path: Path) -> None:
    assert call("quantize", str(copied), "quant.num_images=8", "--as", "few") == 0
    record = Run(copied).record
    assert not [line for line in record.quantization["int8"].warnings if "fewer" in line]
    (line,) = (line for line in record.quantization["few"].warnings if "fewer" in line)
    assert line.startswith("calibration: 8 images, fewer than 32")
    assert call("report", str(copied), "--out", str(tmp_path / "report.html")) == 0
    assert f"<p>few: {line}</p>" in (tmp_path / "report.html").read_text()


def test_a_plan_is_written_shown_and_used(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = copied.parent / "plan.yaml"
    limits = ("--plan", str(file), "--share", "0.4", "--images", "8")
    assert call("quantize", str(copied), *limits, "--json") == 0
    assert answer(capsys)["plan"] == str(file)
    plan = Plan.read(file)
    assert plan.layers
    assert set(plan.layers.values()) == {"a16"}
    assert "Measured with these in float:" in plan.note
    assert call("show", str(file)) == 0
    shown = capsys.readouterr().out
    assert all(layer in shown for layer in plan.layers)
    assert "M MACs (" in shown
    assert call("show", str(file), "--json") == 0
    assert answer(capsys) == {"note": plan.note, "layers": plan.layers}

    assert call("quantize", str(copied), f"quant.layers={file}", "--as", "mixed") == 0
    made = Run(copied)
    before, after = (made.network(name).meta["quality"].heads_db["class"] for name in ("int8", "mixed"))
    assert after > before


def test_a_method_that_moves_scales_is_asked_for_the_network_in_which_it_did(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*SMALL, "train.epochs=0", "quant.rungs=mse,equalize"]
    model = xv.build(xv.recipe("classification", *words))
    weights = model.state_dict()
    for name in ("weight", "bias"):
        weights[f"backbone.stage1.2.conv1.1.{name}"][5] *= 100
    weights["backbone.stage1.2.conv2.0.weight"][:, 5] /= 100
    save_file(weights, tmp_path / "hard.safetensors")
    out = tmp_path / "run"
    recipe = xv.recipe("classification", *words, f"net.weights={tmp_path / 'hard.safetensors'}")
    made = xv.run(recipe, out, until="quantize")
    assert [rung.kept for rung in made.files.rungs("int8")] == [True, True]
    assert call("quantize", str(out), "--sensitivity", "--images", "4") == 0
    assert "quantized again, for the method has changed the float network too" in capsys.readouterr().out
    analysed = made.files.sensitivity("int8")
    assert analysed is not None
    assert 0.3 < analysed.found.total / analysed.found.noise < 3


def test_a_plan_by_the_metric(copied: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = copied.parent / "plan.yaml"
    words = ("--images", "8", "--labelled", "16", "--plan", str(file), "--drop", "100")
    assert call("quantize", str(copied), *words) == 0
    assert "classification/top1" in capsys.readouterr().out
    assert Plan.read(file).layers == {}, "all is good enough"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--plan", "p.yaml"], "quantize: expected --plan FILE with one of --share, --drop and --gain, got none; give"),
        (["--share", "0.1"], "got --share without --plan; give both, or --sensitivity alone"),
        (["--plan", "p.yaml", "--share", "0.1", "--gain", "3"], "got --share and --gain; give both"),
        (["--plan", "p.yaml", "--share", "10"], "--share: expected a share above 0, at most 1, got 10"),
        (["--plan", "p.txt", "--share", "0.1"], "--plan: expected a file name that ends in .yaml, got 'p.txt'"),
        (["--plan", "p.yaml", "--share", "0.1", "--by", "ms"], "--by: expected macs or layers, got 'ms'"),
        (["--plan", "p.yaml", "--gain", "150", "--images", "8", "--labelled", "16"],
         "plan: expected to reach gain_db=150, more bits for all"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_for(
    made: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("quantize", str(made), *words) == 2
    assert message in capsys.readouterr().err
    assert not Path("p.yaml").exists()


def test_a_plan_is_no_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Plan({"head": "a16"}).write(tmp_path / "plan.yaml")
    assert call("show", str(tmp_path / "plan.yaml"), "seed=1") == 2
    assert "is a plan of mixed precision; only a recipe takes key=value" in capsys.readouterr().err
