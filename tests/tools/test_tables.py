"""Generated tables: made from records and registries, rewritten in place, stale ones found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.measurement import measured
from benchmarks.summary import aggregate
from tests.report.made_up_run import RECIPE, make_record, make_rows
from tools import tables
from xvision.runs.record import SplitData

ROWS = """
from tools.tables import ParityRow
ROWS = [
    ParityRow(1, "classification", "works", "xvision run a | b", "tests/test_run.py", "results/cifar.json"),
    ParityRow(2, "poses", "not yet"),
    ParityRow(3, "TorchScript", "left out because ONNX serves"),
    ParityRow(4, "Caffe", "left out because it is gone"),
]
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "docs").mkdir()
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools/parity_table.py").write_text(ROWS)
    page = "before\n<!-- generated:{} -->\nold\n<!-- /generated -->\nafter\n"
    (tmp_path / "README.md").write_text(page.format("tasks") + page.format("classification"))
    (tmp_path / "docs/parity.md").write_text(page.format("parity"))
    (tmp_path / "docs/results.md").write_text(page.format("classification"))
    summary = aggregate([make_record(0, 87.0), make_record(1, 87.5)])
    summary.write(tmp_path / "results/cifar.json")
    depth = {"network": "float", "executor": "pytorch", "split": "val", "metric": "depth/abs_rel", "value": 7.0,
             "unit": "%"}  # fmt: skip
    other = make_record(
        recipe=RECIPE | {"task": "depth"}, metrics=[depth], primary="depth/abs_rel", classes={}
    )
    aggregate([other]).write(tmp_path / "results/kitti.json")
    return tmp_path


def test_pages_are_rewritten_once(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root)
    before = (root / "README.md").read_text()
    assert tables.main(["--check"]) == 1
    assert "README.md: stale" in capsys.readouterr().out
    assert (root / "README.md").read_text() == before
    assert tables.main([]) == 0
    assert tables.main(["--check"]) == 0
    readme = (root / "README.md").read_text()
    assert "old" not in readme
    assert readme.startswith("before\n<!-- generated:tasks -->\n| Task |")
    assert "| Image classification | `classification` |\n" in readme
    assert readme.count("after\n") == 2


def test_results_show_every_seed_and_link_their_record(root: Path) -> None:
    row = (
        "| `cifar10_classification` | timm:regnetx_004 strides=1,1,1,2,2 | 32x32 | 38.4 | 472 k "
        "| float 87.25 (87.00, 87.50), int8 87.15 (86.90, 87.40) | 0 LSB | [cifar]({}results/cifar.json) |\n"
    )
    assert row.format("") in tables.rewrite(root, root / "README.md")
    assert row.format("../") in tables.rewrite(root, root / "docs/results.md")
    assert "kitti" not in tables.rewrite(root, root / "README.md")


def test_measurements_show_their_rows_and_command(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = root / "docs/results.md"
    page.write_text("<!-- generated:measured:speed -->\n<!-- /generated -->\n")
    assert "No record yet." in tables.rewrite(root, page)
    rows = [{"Method": "dis", "ms": 3.25, "Frames": 12}, {"Method": "none"}]
    (root / "results/measured").mkdir()
    monkeypatch.setattr("sys.argv", ["somewhere/benchmarks/speed.py", "--size", "64x64", "--record"])
    measured(rows).write(root / "results/measured/speed.json")
    assert (
        "| Method | ms | Frames |\n|---|---|---|\n| dis | 3.25 | 12 |\n| none |  |  |\n\n"
        "`python benchmarks/speed.py --size 64x64 --record`, [record](../results/measured/speed.json).\n"
    ) in tables.rewrite(root, page)


def test_networks_are_counted_and_grouped(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = root / "docs/networks.md"
    page.write_text("<!-- generated:networks -->\n<!-- /generated -->\n")
    assert "No record yet." in tables.rewrite(root, page)
    common = {"library": "timm", "CPU s": 6.4}
    worked = {"operators": 49, "max LSB": 0, "in float": "", "reason": ""}
    rows = [
        {"network": "resnet18", "family": "ResNet", "status": "exact", **common, **worked},
        {"network": "vit", "family": "Transformers", "status": "float islands", **common}
        | {"operators": 60, "max LSB": 2, "in float": "12 softmax", "reason": "first at blocks_0"},
        {
            "network": "resnet26d",
            "family": "ResNet",
            "status": "refused",
            "reason": "R: expected a; do b",
            **common,
        },
    ]
    (root / "results/measured").mkdir()
    monkeypatch.setattr("sys.argv", ["benchmarks/networks.py"])
    measured(rows).write(root / "results/measured/networks.json")
    text = tables.rewrite(root, page)
    assert "\n3 networks: 1 exact, 1 float islands, 1 refused.\n" in text
    assert text.count("### ") == 2
    assert (
        "| `resnet18` | timm | 49 | exact | 0 |  | 6 |\n| `resnet26d` | timm |  | refused |  | R: expected a; do b |"
        in text
    )
    assert "| `vit` | timm | 60 | float islands | 2 | 12 softmax | 6 |" in text


def test_operators_and_idioms_are_those_of_the_code(root: Path) -> None:
    page = root / "docs/networks.md"
    page.write_text(
        "<!-- generated:operators -->\n<!-- /generated -->\n<!-- generated:idioms -->\n<!-- /generated -->\n"
    )
    text = tables.rewrite(root, page)
    assert re.search(r"\| a table of 256 values \| .*`gelu`.* \|", text)
    assert "layers used twice" in text


def test_scale_follows_from_parameters_and_seconds_of_a_record(root: Path) -> None:
    page = root / "docs/scale.md"
    page.write_text("<!-- generated:scale:cifar -->\n<!-- /generated -->\n")
    record = make_record(0)
    train = {"epochs": 2, "max_steps": 0, "batch_size": 64, "accumulate": 1}
    stage = record.stages["train"].model_copy(update={"cpu_s": 50.0})
    changed = record.model_copy(
        update={
            "recipe": record.recipe | {"train": train},
            "stages": {"train": stage},
            "data": {
                "train": SplitData(num_samples=3200, sha256="0" * 64)
            },  # 100 steps of 0.5 s, with one thread
            "cost": record.cost.model_copy(update={"params": 1_000_000}),
            "machine": record.machine.model_copy(update={"threads": 1}),
        }
    )
    aggregate([changed]).write(root / "results/cifar.json")
    row = "| [cifar](../results/cifar.json) | 1.00 M | 64 | 500 | 8.0 | 64 | 13 % | 1,000 | 0.64 | 0.13 % | 100,000 |\n"
    assert row in tables.rewrite(root, page)
    by_time = {"recipe": record.recipe | {"train": train | {"epochs": 50}}, "num_steps": 50}
    aggregate([changed.model_copy(update=by_time)]).write(root / "results/cifar.json")
    assert "| 64 | 1000 | 8.0 |" in tables.rewrite(root, page), "steps that were counted count"
    none = changed.model_copy(update={"recipe": record.recipe | {"train": train | {"epochs": 0}}})
    aggregate([none]).write(root / "results/cifar.json")
    with pytest.raises(ValueError, match=r"cifar\.json: no whole training"):
        tables.rewrite(root, page)


def test_results_of_a_run_that_stopped_early(root: Path) -> None:
    record = make_record(metrics=make_rows(50.0)[:1], parity=[])
    aggregate([record]).write(root / "results/cifar.json")
    assert "| float 50.00 | not verified | [cifar]" in tables.rewrite(root, root / "README.md")


def test_metrics_of_records_are_called_as_their_task_says(root: Path) -> None:
    page = root / "docs/results.md"
    page.write_text("<!-- generated:results:*:depth/abs_rel,classification/top1 -->\n<!-- /generated -->\n")
    text = tables.rewrite(root, page)
    assert "| depth: relative depth error, % | classification: top-1 accuracy, % | Parity |" in text
    assert "| float 7.00 |  | 0 LSB |" in text
    page.write_text("<!-- generated:results:*:depth/abs_err -->\n<!-- /generated -->\n")
    with pytest.raises(ValueError, match="no record has the metric 'depth/abs_err'"):
        tables.rewrite(root, page)


def test_without_records_nothing_is_claimed(root: Path) -> None:
    (root / "results/cifar.json").unlink()
    assert "No record yet." in tables.rewrite(root, root / "README.md")


def test_parity_counts_and_escapes(root: Path) -> None:
    text = tables.rewrite(root, root / "docs/parity.md")
    assert "4 features: 1 works, 1 not yet, 2 left out.\n" in text
    assert (
        r"| 1 | classification | works | `xvision run a \| b` | `tests/test_run.py` | [cifar](../results/cifar.json) |"
        in text
    )
    assert "| 2 | poses | not yet |  |  |  |" in text


def test_broken_pages_are_named(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = root / "docs/parity.md"
    page.write_text("<!-- generated:task -->\n<!-- /generated -->\n")
    with pytest.raises(ValueError, match=r"parity\.md: no table is called 'task'; did you mean 'tasks'\?"):
        tables.stale_pages(root)
    page.write_text("<!-- generated:tasks -->\n")
    with pytest.raises(
        ValueError, match=r"parity\.md: expected each '<!-- generated:NAME -->' line to have its"
    ):
        tables.stale_pages(root)
    monkeypatch.chdir(root / "tools")
    assert tables.main([]) == 2
    assert "no README.md and no docs here" in capsys.readouterr().err
