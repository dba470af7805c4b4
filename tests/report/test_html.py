"""The report: whole, self-contained, escaped; short when a run stopped early; clear when a file is broken."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.report.conftest import report
from tests.report.made_up_run import (
    CLASSES,
    COLUMNS,
    RECIPE,
    make_evaluation,
    make_parity,
    make_record,
    make_rows,
    make_run,
)


def section(page: str, name: str) -> str:
    found = re.search(rf'<section id="{name}">(.*?)</section>', page, re.DOTALL)
    assert found, name
    return found[1]


def test_versions_stand_beside_proof_and_figures(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "run")
    record = json.loads((folder / "record.json").read_text())
    record["parity"][0]["version"] = "torch 1.0, onnxruntime 2.0"
    for row in record["metrics"]:
        row["version"] = f"{row['executor']} 3.0"
    (folder / "record.json").write_text(json.dumps(record))
    found = report(folder)
    assert "at 3 optimisation levels (torch 1.0, onnxruntime 2.0)." in found
    assert "int8<br>onnxruntime<br><small>onnxruntime 3.0</small></th>" in found


def test_every_section_is_there(whole: Path) -> None:
    page = whole.read_text()
    assert "Verified: 0 LSB" in page
    assert (
        "model.onnx in onnxruntime computes, to the last bit, what the int8 network in simulation computes: "
        "0 LSB on 256 images, at 3 optimisation levels." in page
    )
    summary = section(page, "summary")
    other = '<td class="n">87.21 <span class="change">−0.10</span></td>'
    assert f'top-1 accuracy, %</td><td class="n">87.31</td>{other}{other}' in summary
    for network, executor in COLUMNS:
        assert f"{network}<br>{executor}</th>" in summary
    assert "87.00 expected" in summary
    assert "38.4 M" in summary
    training = section(page, "training")
    assert training.count("<svg") == 2
    assert "Learning rate" in training
    steps = [json.loads(line) for line in (whole.parent / "metrics.jsonl").read_text().splitlines()]
    (best,) = (line["val"]["classification/top1"] for line in steps if line["step"] == 476 and "val" in line)
    assert f"{best:.2f}" in training
    confusion = section(page, "confusion")
    assert confusion.count("<svg") == 3  # two networks, and bars of both
    assert "Confused most" in confusion
    samples = section(page, "samples")
    assert samples.count('<img src="data:image/png;base64,') == 12
    assert samples.count("✗ wrong") == 2
    complexity = section(page, "complexity")
    assert "block3.conv" in complexity
    assert "All 38 layers" in complexity
    quantization = section(page, "quantization")
    assert "pow2:tensor head_bits=8" in quantization
    assert all(f"<td>{level}</td>" in quantization for level in ("off", "basic", "all"))
    provenance = section(page, "provenance")
    for text in ("xvision run recipe.yaml --out again", "4f53b3d", "torch 2.14.1", "50000 samples", "18 min 24 s",
                 "seed 1", "label_smoothing: 0.1", make_record().data["val"].sha256):  # fmt: skip
        assert text in provenance
    assert "not committed" not in page
    assert "Not run yet" not in page


def test_a_bound_of_steps_stands_beside_the_epochs(tmp_path: Path) -> None:
    make_run(tmp_path, recipe=RECIPE | {"train": {"epochs": 24, "max_steps": 50}})
    assert "24 epochs, at most 50 steps" in report(tmp_path)


def test_a_training_by_time_says_minutes_and_steps(tmp_path: Path) -> None:
    make_run(tmp_path, recipe=RECIPE | {"train": {"minutes": 15}})
    make_record(num_steps=1234).write(tmp_path / "record.json")
    assert "15 minutes, 1234 steps" in report(tmp_path)


def test_it_is_one_file_that_needs_nothing(whole: Path) -> None:
    page = whole.read_text()
    assert not re.search(
        r"""<(script|link|iframe|object|base)\b|@import|https?://|\bsrc=["'](?!data:)""", page
    )
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)", page))
    assert all(target.startswith(("#", "data:")) for target in re.findall(r'href="([^"]*)', page))
    assert whole.stat().st_size < 300_000


def test_it_is_the_same_when_written_again(whole: Path) -> None:
    assert report(whole.parent) == whole.read_text()


def test_pictures_get_the_room_that_they_need(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    assert '<div class="gallery" style="--room: 150px">' in report(folder)
    cv2.imwrite(str(folder / "samples/sample_00.png"), np.zeros((150, 384, 3), np.uint8))
    assert '<div class="gallery" style="--room: 384px">' in report(folder)


def test_the_drawing_of_the_network_is_inside(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    assert "<svg><title>a network</title></svg>" not in report(folder)
    (folder / "architecture.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg"><title>a network</title></svg>'
    )
    assert "<svg><title>a network</title></svg>" in section(report(folder), "complexity")


def test_what_users_write_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>&"
    folder = make_run(tmp_path, recipe=RECIPE | {"name": evil})
    classes = [evil, *CLASSES[1:]]
    (folder / "evaluation.json").write_text(json.dumps(make_evaluation(classes)))
    rows = json.loads((folder / "samples/samples.json").read_text())
    (folder / "samples/samples.json").write_text(
        json.dumps([{**rows[0], "label": evil, "found": {evil: evil}}])
    )
    make_record(source=evil, commit=evil, dirty=True, parity=[make_parity(3, evil)]).write(
        folder / "record.json"
    )
    page = report(folder)
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 8
    assert "with changes that are not committed" in page


def test_a_difference_comes_first(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    make_record(parity=[make_parity(2, "layer1.0.conv1")]).write(folder / "record.json")
    page = report(folder)
    assert "Not equal" in page
    assert "differs from the int8 network in simulation by up to 2 LSB on 256 images" in page
    assert "first at layer1.0.conv1." in page
    assert "Verified" not in page


def test_what_integers_cost_comes_first(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    lost = "int8 loses 2.00 points of top-1 accuracy on val (87.31 -> 85.31); most noise in layer4.1.conv1 (12 dB)"
    made: dict[str, Any] = {
        "quant": RECIPE["quant"],
        "num_fitted": 192,
        "num_judged": 64,
        "corrections": {"weights": 20, "nothing": 1},
        "dropped": False,
    }
    made["losses"] = [lost]
    make_record(quantization={"int8": made}).write(folder / "record.json")
    page = report(folder)
    assert "Verified: 0 LSB, but integers cost accuracy" in page
    assert html.escape(lost) in page
    assert (
        "from 192 calibration images, judged on 64 others. Corrected: nothing in 1 layer, weights in 20 layers"
        in page
    )


def test_corrections_that_did_not_help(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    made = {"quant": RECIPE["quant"], "num_fitted": 8, "num_judged": 0, "corrections": {}, "dropped": True}
    make_record(quantization={"int8": made}).write(folder / "record.json")
    page = report(folder)
    assert (
        "Ranges from 8 calibration images, judged on the same ones; no correction of layers helped there"
        in page
    )
    assert "but integers cost" not in page


@pytest.mark.parametrize(
    ("until", "sentence", "missing"),
    [
        ("nothing", "stopped before training", 7),
        ("train", "stopped after training", 4),
    ],
)
def test_a_run_that_stopped_has_a_short_report(
    tmp_path: Path, until: str, sentence: str, missing: int
) -> None:
    page = report(make_run(tmp_path, until=until))
    assert "Not verified yet" in page
    assert sentence in page
    assert page.count('<p class="later">') == missing
    assert "xvision run recipe.yaml" in page


def test_a_run_that_was_killed_in_training_shows_its_curves(tmp_path: Path) -> None:
    folder = make_run(tmp_path, until="train")
    (folder / "evaluation.json").unlink()
    with (folder / "metrics.jsonl").open("a") as f:
        f.write('{"st')  # torn by the kill
    page = report(folder)
    assert "stopped during training" in page
    assert section(page, "training").count("<svg") == 2


def test_a_verified_run_without_record_shows_what_it_has(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    (folder / "record.json").unlink()
    (folder / "export/int8/parity.json").write_text(json.dumps([make_parity()]))
    page = report(folder)
    assert "Verified: 0 LSB" in page
    assert "No record yet" in page
    assert "−0.10 against float" in page  # from evaluation.json
    assert "multiply-accumulates and" in page  # from cost.json
    (folder / "export/int8/parity.json").unlink()
    assert "stopped before verification" in report(folder)


def test_files_that_changed_since_the_record_are_marked(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    assert "changed since" not in report(folder)
    (folder / "export/int8/model.onnx").write_text("another")
    assert "changed since" in report(folder)
    (folder / "export/int8/model.onnx").unlink()
    assert ">missing<" in report(folder)


def test_a_stage_of_other_code_is_marked(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    make_record(commit="7777777").write(folder / "record.json")
    assert 'train 18 min 24 s <span class="warn">by the code of 4f53b3d' in report(folder)


def test_many_classes_show_the_worst(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    names = [f"class {i}" for i in range(100)]
    (folder / "evaluation.json").write_text(json.dumps(make_evaluation(names)))
    page = report(folder)
    assert "the 40 worst of 100" in page
    assert len(page) < 400_000


def test_a_new_executor_format_and_network_appear_by_themselves(tmp_path: Path) -> None:
    """Names that no file of the report knows."""
    folder = make_run(tmp_path)
    more = ("int4", "npu")
    rows = make_rows(columns=(*COLUMNS, more))
    other = make_parity(1, network="int4", reference="golden", executor="npu", file="export/int4/model.blob",
                        ok=True, tolerance_lsb=2)  # fmt: skip
    make_record(metrics=rows, parity=[make_parity(), other]).write(folder / "record.json")
    (folder / "evaluation.json").write_text(json.dumps(make_evaluation(CLASSES, (*COLUMNS, more))))
    (folder / "export/int4").mkdir()
    (folder / "export/int4/model.blob").write_text("blob")
    found = report(folder)
    assert "Verified: 1 LSB" in found
    assert "model.blob in npu differs from the int4 network in golden by up to 1 LSB" in found
    assert "2 LSB allowed" in found
    assert "int4<br>npu</th>" in section(found, "summary")
    assert "int4: top-1 accuracy, %" in section(found, "summary")
    assert "4 B</b><span>model.blob" in section(found, "summary")
    assert section(found, "confusion").count("<svg") == 4
    assert "export/int4/model.blob in npu against golden" in section(found, "quantization")


def test_a_float_file_is_compared_by_its_error(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    near = make_parity(
        network="float", reference="pytorch", file="export/float/model.plain", max_error=2.5e-7
    )
    make_record(parity=[near]).write(folder / "record.json")
    found = report(folder)
    assert "differs from the float network in pytorch by up to 2.5e-07 of the largest value" in found
    assert "to the last bit" not in found


def test_operators_that_are_judged_alone(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    alone = {"level": "off", "tolerance_lsb": 1, "max_lsb": 1, "float_lsb": 0, "codes": 5000, "differing": 3,
             "first_beyond": None}  # fmt: skip
    far = make_parity(4, "conv1", ok=True, operators=alone, reasons=["operators may be off by 1 LSB"])
    make_record(parity=[far]).write(folder / "record.json")
    found = report(folder)
    assert "Verified: 1 LSB" in found
    assert (
        "Each operator of model.onnx in onnxruntime, given the codes of its inputs, is off by at most 1 LSB"
        in found
    )
    assert "3 of 5000 codes differ. End to end: 4 LSB" in found
    assert "since operators may be off by 1 LSB." in found


def test_an_undefined_metric_is_told_from_a_missing_one(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    first, *others = make_rows()
    make_record(metrics=[first | {"value": None}, *others[:-1]]).write(folder / "record.json")
    summary = section(report(folder), "summary")
    assert '<td class="n">undefined</td>' in summary
    assert '<td class="n">–' in summary


def test_pictures_stop_where_a_mail_would_be_too_large(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(tmp_path)
    size = (folder / "samples/sample_00.png").stat().st_size
    monkeypatch.setattr("xvision.report.html.MAX_PICTURE_BYTES", 3 * size)
    assert "more in the folder samples/" in report(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("recipe.yaml", "{a: [", r"recipe\.yaml: cannot be read as YAML"),
        ("recipe.yaml", "just text", r"recipe\.yaml: not a recipe"),
        ("record.json", "{}", r"record\.json: not a record: name: [Ff]ield required; "),
        ("evaluation.json", "[]", r"evaluation\.json: .*; delete the file and run `xvision run` on the folder again"),
        ("evaluation.json", '{"measurements": [{"network": 1}]}', r"json: measurements\.0\.network: .*got 1"),
        ("evaluation.json",
         '{"classes": {"class": ["a", "b"]}, "confusions": [{"network": "n", "executor": "e", "split": "val", '
         '"field": "class", "table": [[1]]}]}',
         r"confusions of n \(e\), class: expected 2 rows and columns, one a class, got 1 x 1"),
        ("metrics.jsonl", '{"step": 1, "lr": 0.1, "loss": 1}\nnonsense\n',
         r"metrics\.jsonl: line 2: "),
        ("metrics.jsonl", '{"step": 1}\n', r"metrics\.jsonl: line 1: .*lr: [Ff]ield required"),
        ("cost.json", '[{"name": "stem"}]', r"cost\.json: 0\.type: [Ff]ield required"),
        ("checkpoints/best.json", "{}", r"best\.json: step: [Ff]ield required"),
        ("samples/samples.json", '{"image"', r"samples\.json: cannot be read as JSON"),
        ("samples/samples.json", '[{"image": "lost.png", "label": "a", "found": {}, "correct": true}]',
         r"lost\.png: named in samples\.json but cannot be read \(No such file"),
    ],
)  # fmt: skip
def test_a_broken_folder_names_the_file(
    whole: Path, tmp_path: Path, name: str, content: str, message: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole.parent, folder)
    (folder / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        report(folder)


def test_several_quantizations_stand_side_by_side(tmp_path: Path) -> None:
    """One that is not verified yet does not hide behind one that is."""
    folder = make_run(tmp_path)
    other = {"quant": {"scheme": {"pow2": {"head_bits": 16}}, "method": "ptq"}, "losses": ["w4 loses much"]}
    made = {"int8": {"quant": RECIPE["quant"]}, "w4": other}
    more = ("w4", "simulation")
    make_record(quantization=made, metrics=make_rows(columns=(*COLUMNS, more))).write(folder / "record.json")
    found = report(folder)
    assert "Verified: 0 LSB, but integers cost accuracy" in found
    assert "Not verified yet: w4." in found
    assert "w4 loses much." in found
    quantization = section(found, "quantization")
    for name, bits in (("int8", 8), ("w4", 16)):
        _, _, own = quantization.partition(f"<h3>{name}</h3>")
        assert f"pow2 head_bits={bits}</dd>" in own.partition("</dl>")[0]
    assert "w4<br><small>outputs in 16 bits</small><br>simulation" in found
    del other["losses"]
    make_record(quantization=made).write(folder / "record.json")
    assert "Verified: 0 LSB, but not every network" in report(folder)
