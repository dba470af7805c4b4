"""Records of an older form: today's names and structure, and not a figure changed."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.records import JOBS, Job, stale
from benchmarks.summary import Summary, aggregate
from tests.report.made_up_run import make_parity, make_record
from tools.migrate_records import main, migrated
from xvision.recipes.schema import Recipe

ROOT = Path(__file__).parents[2]


def statistics(values: list[float]) -> dict[str, Any]:
    return {"mean": sum(values) / len(values), "min": min(values), "max": max(values), "values": values}


def old_form() -> dict[str, Any]:
    """A summary of two seeds as it was written before."""
    records = []
    for seed in (0, 1):
        plain = json.loads(make_record(seed).model_dump_json())
        for key in ("migrated", "former_recipe_id"):
            del plain[key]
        recipe = plain["recipe"] | {
            "data": {"dataset": {"scenes": {}}, "size": "32x32", "fit": 1.0, "draw": "all",
                     "augment": {"mirror": 0.5}},
            "net": {"backbone": "resnet9", "decoder": {"fpn_lite": {"enlarge_by": "bilinear"}}},
            "task": {"segmentation": {"losses": ["cross_entropy:1", "focal:0.5:gamma=3"]},
                     "depth": {"losses": ["silog:1"]}},
            "expect": {"depth.ard": 9.0},
            "quant": {"scheme": "pow2", "method": {"ptq": {"num_images": 128, "correct": "bias"}}},
        }  # fmt: skip
        figures = {"score": 50.0 + seed, "segmentation.iou_a.b": 12.5, "depth.ard_rng1": 7.25 + seed}
        parity = make_parity()
        for key in ("network", "reference", "executor", "file"):
            del parity[key]
        classes = {"segmentation": ["a.b", "c"]}
        records.append(
            plain
            | {"recipe": recipe, "metrics": {"float": figures, "int8": figures}, "parity": parity, "classes": classes,
               "primary": "score", "expect": {"depth.ard": 9.0}, "heads": {"class": {"macs": 1, "params": 2}}}
        )  # fmt: skip
    by_name = {name: statistics([r["metrics"]["int8"][name] for r in records]) for name in figures}
    metrics = {"float": by_name, "int8": by_name}
    return {"name": records[0]["name"], "seeds": [0, 1], "metrics": metrics, "records": records}


def test_names_and_structure_are_todays() -> None:
    new = migrated(old_form())
    record = new.records[1]
    data, net, tasks = (record.recipe[key] for key in ("data", "net", "task"))
    assert (data["crop_ratio"], data["sampling"], data["framing"]) == (1.0, "all", "stretch")
    assert data["augment"] == {"hflip": 0.5}
    assert net["decoder"] == {"fpn_lite": {"upsample_mode": "bilinear"}}
    assert tasks["segmentation"]["losses"]["focal"] == {"weight": 0.5, "gamma": 3.0}
    assert record.recipe["quant"]["method"] == {"ptq": {"num_images": 128, "rungs": ["mse", "bias"]}}
    assert record.expect == record.recipe["expect"] == {"depth/abs_rel": 9.0}
    assert record.heads.keys() == {"classification"}
    rows = [(row.network, row.executor, row.metric, row.value, row.unit) for row in record.metrics]
    assert rows[:3] == [
        ("float", "pytorch", "score", 51.0, "%"),
        ("float", "pytorch", "segmentation/iou_a.b", 12.5, "%"),
        ("float", "pytorch", "depth/abs_rel_rng1", 8.25, "%"),
    ]
    assert {row.executor: row.version for row in record.metrics}["simulation"] == "torch 2.14.1"
    (parity,) = record.parity
    assert (parity.executor, parity.file, parity.version) == (
        "onnxruntime",
        "export/model.onnx",
        "onnxruntime 1.27.0",
    )
    assert record.former_recipe_id == "0123456789ab" != record.recipe_id
    assert "no figure has changed" in record.migrated
    assert [row.statistics.values for row in new.metrics if row.metric == "depth/abs_rel_rng1"] == 2 * [
        (7.25, 8.25)
    ]


def test_how_int8_was_found_gets_the_name_of_its_quantization(tmp_path: Path) -> None:
    found = {
        "num_fitted": 8,
        "num_judged": 2,
        "corrections": {"bias": 3},
        "dropped": False,
        "losses": ["much"],
    }
    record = json.loads(make_record(quantization={}).model_dump_json()) | {"quantization": found}
    summary = json.loads(aggregate([make_record()]).model_dump_json()) | {"records": [record]}
    file = tmp_path / "one.json"
    file.write_text(json.dumps(summary))
    main([str(file)])
    (new,) = Summary.read(file).records
    assert new.quantization.keys() == {"int8"}
    kept = new.quantization["int8"].model_dump(mode="json")
    assert {key: kept[key] for key in found} == found
    assert kept["quant"] == record["recipe"]["quant"]
    assert json.loads(new.model_dump_json())["metrics"] == record["metrics"]


@pytest.mark.parametrize("where", ["record", "statistics"])
def test_a_figure_that_would_change_stops_it(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import tools.migrate_records as module

    plain = old_form()
    if where == "statistics":
        plain["metrics"] = copy.deepcopy(plain["metrics"])
        plain["metrics"]["int8"]["score"]["mean"] += 1e-9
    else:
        rows = module._rows
        monkeypatch.setattr(module, "_rows", lambda *a: (r | {"value": round(r["value"])} for r in rows(*a)))
    with pytest.raises(AssertionError, match=plain["name"]):
        migrated(plain)


def test_a_record_of_todays_form_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "one.json"
    file.write_text(json.dumps(old_form()))
    main([str(file)])
    assert "migrated" in capsys.readouterr().out
    before = file.read_bytes()
    main([str(file)])
    assert (file.read_bytes(), capsys.readouterr().out) == (before, "")
    assert Summary.read(file) == migrated(old_form())


def test_corrections_of_a_later_form_become_rungs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "one.json"
    migrated(old_form()).write(file)
    plain = json.loads(file.read_text())
    for record in plain["records"]:
        record["recipe"]["quant"]["method"] = {"ptq": {"num_images": 256, "correct": "weights"}}
    file.write_text(json.dumps(plain))
    main([str(file)])
    assert "migrated" in capsys.readouterr().out
    for record in Summary.read(file).records:
        assert record.recipe["quant"]["method"]["ptq"]["rungs"] == ["mse", "weights"]
        assert record.recipe_id == Recipe.model_validate(record.recipe).id


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_no_committed_record_is_stale(job: Job) -> None:
    assert stale(job) == {}
