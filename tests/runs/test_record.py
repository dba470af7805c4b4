"""Records: written and read, broken ones refused, seeds put together."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import xvision
from benchmarks.summary import Summary, aggregate, outdated
from tests.report.made_up_run import RECIPE, make_record
from xvision.recipes.schema import Recipe
from xvision.runs.environment import environment, source_state
from xvision.runs.record import Machine, Record


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = make_record()
    record.write(tmp_path / "record.json")
    assert Record.read(tmp_path / "record.json") == record
    assert json.loads((tmp_path / "record.json").read_text())["cost"]["size"] == "32x32"
    assert [f.name for f in tmp_path.iterdir()] == ["record.json"]


def test_a_metric_that_is_undefined_survives(tmp_path: Path) -> None:
    make_record(top1=float("nan")).write(tmp_path / "record.json")
    (top1,) = (
        row.value
        for row in Record.read(tmp_path / "record.json").metrics
        if (row.metric, row.executor) == ("classification/top1", "pytorch")
    )
    assert top1 is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": "one"}, r"record\.json: not a record: seed: should be a valid integer.*got 'one'"),
        (
            {"metrics": [{"network": 3}]},
            r"record\.json: .*metrics\.0\.network: should be a valid string, got 3",
        ),
        (
            {"data": {"val": {"num_samples": -1, "sha256": "x"}}},
            r"data\.val\.num_samples: .*data\.val\.sha256: ",
        ),
        ({"colour": "red"}, r"record\.json: .*colour: no such key"),
        ({"commit": None}, r"record\.json: .*commit: should be a valid string"),
    ],
)
def test_a_broken_record_names_file_and_field(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    file = tmp_path / "record.json"
    make_record().write(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        Record.read(file)


def test_a_record_that_is_no_json_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text('{"name": ')
    with pytest.raises(ValueError, match=r"record\.json: cannot be read as JSON"):
        Record.read(tmp_path / "record.json")


def test_seeds_are_put_together(tmp_path: Path) -> None:
    summary = aggregate([make_record(2, 88.0), make_record(0, 86.0), make_record(1, 87.6)])
    assert summary.seeds == (0, 1, 2)
    top1 = summary.metrics[0].statistics
    assert (summary.metrics[0].network, summary.metrics[0].metric) == ("float", "classification/top1")
    assert top1.values == (86.0, 87.6, 88.0)
    assert (top1.min, top1.max) == (86.0, 88.0)
    assert top1.mean == pytest.approx(87.2)
    assert [r.seed for r in summary.records] == [0, 1, 2]
    summary.write(tmp_path / "results/cifar10_classification.json")
    assert Summary.read(tmp_path / "results/cifar10_classification.json") == summary


def test_what_was_expected_does_not_make_another_recipe() -> None:
    other = make_record(
        2, recipe=RECIPE | {"seed": 2, "expect": {"classification/top1": 80.0}, "source": "a paper"}
    )
    assert aggregate([make_record(1), other]).seeds == (1, 2)


def test_records_that_do_not_belong_together_are_refused() -> None:
    first = make_record(1)
    with pytest.raises(ValueError, match="expected at least one, got none"):
        aggregate([])
    with pytest.raises(ValueError, match=r"expected every seed once, got \[1, 1\]"):
        aggregate([first, first])
    longer = make_record(2, recipe=RECIPE | {"seed": 2, "train": {"epochs": 99, "batch_size": 128}})
    with pytest.raises(ValueError, match=r"recipe\.train\.epochs: 24 with seed 1, 99 with seed 2"):
        aggregate([first, longer])
    edited = make_record(2, data={"train": first.data["train"]})
    with pytest.raises(ValueError, match=r"data\.val: SplitData.* with seed 1, None with seed 2"):
        aggregate([first, edited])
    float_only = make_record(2, metrics=[row for row in first.metrics if row.network == "float"])
    with pytest.raises(ValueError, match=r"metrics: .*int8.* with seed 1"):
        aggregate([first, float_only])


def test_the_environment_fills_its_fields_of_a_record() -> None:
    found = environment()
    assert set(found) == {"commit", "dirty", "versions", "machine"}
    assert set(found["versions"]) == {"python", "xvision", "torch", "torchvision", "timm", "onnxruntime"}
    machine: Machine = found["machine"]
    assert machine.processor
    assert machine.cores >= 1


def test_commit_and_changes_come_from_the_package_s_own_checkout(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        done = subprocess.run(["git", "-C", str(tmp_path), *who, *arguments], capture_output=True, check=True)
        return done.stdout.decode().strip()

    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    installed = (environment()["versions"]["xvision"], False)
    assert source_state(package) == installed  # no repository at all
    git("init", "-q")
    (tmp_path / "theirs.txt").write_text("of somebody else")
    git("add", "theirs.txt")
    git("commit", "-qm", "theirs")
    assert source_state(package) == installed  # a repository that does not hold the package
    git("add", ".")
    git("commit", "-qm", "ours")
    assert source_state(package) == (git("rev-parse", "--short", "HEAD"), False)
    (tmp_path / "theirs.txt").write_text("changed")
    assert source_state(package)[1] is False
    (package / "__init__.py").write_text("x = 1")
    assert source_state(package)[1] is True


def test_reading_records_imports_no_torch() -> None:
    code = "import sys, xvision.runs.record, xvision.report.html; sys.exit('torch' in sys.modules)"
    source = Path(xvision.__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=source, check=False).returncode == 0


def test_a_record_goes_stale_by_a_changed_setting_and_not_by_a_new_one() -> None:
    """A setting that the record lacks came later, and stands at its default; an old value is compared."""
    recipe = Recipe.model_validate(RECIPE)
    assert outdated(make_record(), recipe) == {}
    set_now = recipe.model_copy(update={"train": recipe.train.model_copy(update={"warmup_epochs": 3.0})})
    assert outdated(make_record(), set_now) == {"train.warmup_epochs": (recipe.train.warmup_epochs, 3.0)}
    full = make_record(
        recipe=recipe.to_dict() | {"train": recipe.train.model_dump(mode="json") | {"ema": 0.5}}
    )
    assert outdated(full, recipe) == {"train.ema": (0.5, recipe.train.ema)}
    gone = make_record(recipe=RECIPE | {"train": {"epohcs": 1}})
    with pytest.raises(
        ValueError, match=r"cifar10_classification: train\.epohcs: no such key.*; make it again"
    ):
        outdated(gone, recipe)
