"""The pipeline: a run folder is brought up to date, never more, and belongs to one recipe."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import xvision as xv
from tests.conftest import write_images
from tests.pipeline.results import everything, figures
from tests.test_cli import call
from xvision.console import Console
from xvision.files import sha256
from xvision.pipeline.stage import StageError
from xvision.pipeline.verify import VerificationError
from xvision.recipes.overrides import override
from xvision.recipes.schema import Recipe
from xvision.runs.build import SettingError
from xvision.runs.files import ChangedFileError
from xvision.runs.folder import claim, marker
from xvision.runs.lock import LOCK, FolderInUse, locked
from xvision.runs.run import Run

TINY = ("data.num_train=8", "data.num_val=4", "data.size=32x32")
OF_INT8 = ["quantize int8", "export int8", "verify int8"]
ALL = ["train", *OF_INT8, "record", "report"]


def small(root: Path, *texts: str) -> Recipe:
    return xv.recipe(
        "classification",
        "data=image_folder",
        f"data.root={root}",
        "data.size=32x32",
        "net.backbone=timm:resnet10t",
        "train.batch_size=8",
        "train.workers=0",
        "train.threads=1",
        *([] if any(text.startswith("train.max_steps=") for text in texts) else ["train.max_steps=6"]),
        *texts,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished run and its images; copied by the tests that change them."""
    root = write_images(tmp_path_factory.mktemp("images") / "colours")
    out = tmp_path_factory.mktemp("runs") / "first"
    xv.run(small(root), out)
    return root, out


@pytest.fixture
def finished(made: tuple[Path, Path], tmp_path: Path) -> tuple[Path, Path]:
    out = tmp_path / "run"
    shutil.copytree(made[1], out)
    return made[0], out


def executed(recipe: Recipe, out: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The stages that a run really executes."""
    capsys.readouterr()
    xv.run(recipe, out, console=Console())
    return [line.removesuffix(" …") for line in capsys.readouterr().out.splitlines() if line.endswith(" …")]


def test_one_recipe_goes_from_images_to_a_verified_file(made: tuple[Path, Path]) -> None:
    _, out = made
    for name in (
        "recipe.yaml",
        "metrics.jsonl",
        "status.json",
        "record.json",
        "report.html",
        "export/int8/model.onnx",
    ):
        assert (out / name).is_file(), name
    run = Run(out)
    record = run.record
    proof_of_integers, parity = record.parity
    for one in (proof_of_integers, parity):
        assert (one.ok, one.max_lsb, one.tolerance_lsb, one.operators) == (True, 0, 0, None)
    assert (proof_of_integers.executor, proof_of_integers.file) == ("integer", "quant/int8/model.safetensors")
    found = figures(record)
    assert list(found) == [("float", "pytorch"), ("int8", "simulation"), ("int8", "onnxruntime")]
    assert found["int8", "simulation"] == found["int8", "onnxruntime"]
    assert found["float", "pytorch"].keys() == found["int8", "simulation"].keys()
    assert {row.metric for row in record.metrics} >= {"classification/top1"}
    assert {row.unit for row in record.metrics} == {"%"}
    assert set(record.stages) == {"train", *OF_INT8}
    assert not list(out.rglob("*.tmp"))


def test_a_dump_of_what_each_executor_computes(
    finished: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, out = finished
    folder = tmp_path / "dump"
    for _ in range(2):  # an earlier one is replaced
        assert call("verify", str(out), "--dump", str(folder)) == 0
        assert f"dump  {folder / 'index.json'}" in capsys.readouterr().out
    index = json.loads((folder / "index.json").read_text())
    assert index["images"] == 2
    for tensor in index["tensors"]:
        arrays = [np.load(folder / file) for file in tensor["files"].values()]
        assert all(np.array_equal(array, arrays[0]) for array in arrays)
        assert list(arrays[0].shape) == tensor["shape"]
    assert {tuple(one["files"]) for one in index["tensors"][1:]} == {("simulation", "integer", "onnxruntime")}
    (folder / ".xvision-dump").unlink()
    assert call("verify", str(out), "--dump", str(folder)) == 2
    said = capsys.readouterr().err
    assert "dump: expected a new or empty folder for a dump, or one that xvision made for it, got" in said
    assert "choose another --dump" in said


def test_stages_after_a_training_that_is_done_compute_with_its_threads(
    finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = finished
    (out / "record.json").unlink()
    torch.set_num_threads(2)
    assert executed(small(root), out, capsys)[0] == "record"
    assert Run(out).record.machine.threads == torch.get_num_threads() == 1


def test_a_rerun_executes_nothing(finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    root, out = finished
    before = everything(out)
    assert executed(small(root), out, capsys) == []
    assert before == everything(out)


def test_new_int8_numbers_leave_no_old_file_beside_them(finished: tuple[Path, Path]) -> None:
    root, out = finished
    xv.run(small(root, "quant.num_images=8"), out, until="quantize")
    assert not (out / "export/int8/model.onnx").exists()
    assert not (out / "report.html").exists()
    assert (out / "checkpoints/best.safetensors").exists()


def test_a_run_goes_on_where_its_data_was_moved(
    finished: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = finished
    moved = shutil.copytree(root, tmp_path / "moved")
    assert executed(small(moved), out, capsys) == ["record", "report"]  # which name the place
    assert Run(out).recipe.places == {"image_folder": str(moved)}
    assert call("quantize", str(out), f"data.root={root}", "quant.num_images=8") == 0
    assert "train: up to date" in capsys.readouterr().out
    recipe = (out / "recipe.yaml").read_text()
    next(moved.rglob("*.png")).unlink()
    assert call("export", str(out), f"data.root={moved}") == 3
    error = capsys.readouterr().err
    assert f"{out}: expected the data that its network was trained on; 'train' had " in error
    assert f"in {moved}; bring the files back, name the place where" in error
    assert (out / "recipe.yaml").read_text() == recipe
    assert call("export", str(out), "data.size=16x16") == 2
    assert "only quant.*, export.* and the place of the data (data.root) can be" in capsys.readouterr().err


def test_a_run_folder_is_no_recipe(finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    _, out = finished
    assert call("run", str(out)) == 2
    assert (
        f"{out}: expected a recipe, got a folder; if it holds a run, `xvision report {out}`"
        in capsys.readouterr().err
    )


def test_no_verb_trains_again_what_is_trained(
    finished: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = finished
    edited = shutil.copytree(root, tmp_path / "edited")
    assert call("report", str(out), f"data.root={edited}") == 0
    assert Run(out).record.recipe["data"]["dataset"]["image_folder"]["root"] == str(edited)
    photo = next(edited.rglob("*.png"))
    cv2.imwrite(str(photo), np.zeros((40, 40, 3), np.uint8))
    weights = (out / "checkpoints/best.safetensors").read_bytes()
    for verb in ("quantize", "export", "verify", "report"):
        assert call(verb, str(out)) == 3
        assert "have changed; bring the files back" in capsys.readouterr().err
    assert (out / "checkpoints/best.safetensors").read_bytes() == weights
    xv.run(small(edited), out, until="train")  # `xvision run` does
    assert (out / "checkpoints/best.safetensors").read_bytes() != weights


def test_a_network_is_used_after_its_data_has_gone(
    finished: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = finished
    moved = shutil.copytree(root, tmp_path / "moved")
    recipe = (out / "recipe.yaml").read_text()
    (out / "recipe.yaml").write_text(recipe.replace(str(root), str(tmp_path / "gone")))
    photo = str(next(moved.rglob("*.png")))
    assert call("predict", str(out), photo) == 0
    assert call("val", str(out)) == 3
    capsys.readouterr()
    assert call("val", str(out), f"data.root={moved}", "--json") == 0
    assert call("val", str(out), "data=image_folder", f"data.root={moved}") == 0
    (out / "evaluation.json").unlink()  # of a training that was interrupted: its data names the classes
    assert call("predict", str(out), photo) == 3
    (out / "recipe.yaml").write_text(recipe)
    assert call("predict", str(out), photo) == 0
    (out / "checkpoints/best.safetensors").unlink()
    assert call("predict", str(out), photo) == 2
    assert f"{out}: nothing is trained there yet; `xvision train --resume {out}`" in capsys.readouterr().err


def test_settings_of_how_to_train_are_free(
    finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = finished
    assert executed(small(root, "train.log_every=3"), out, capsys) == []


def test_a_changed_quant_key_executes_from_quantize_on(
    finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = finished
    assert executed(small(root, "quant.num_images=8"), out, capsys) == ALL[1:]
    assert Run(out).recipe.quant.method.settings["num_images"] == 8


def test_an_edited_image_executes_everything(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert executed(small(colours), out, capsys) == ALL
    cv2.imwrite(str(colours / "train/red/00.png"), np.full((40, 48, 3), 7, np.uint8))
    assert executed(small(colours), out, capsys) == ALL


def test_a_lost_file_executes_its_stage_again(
    finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = finished
    (out / "export/int8/model.onnx").unlink()
    assert executed(small(root), out, capsys) == ["export int8"]  # the same bytes: nothing after it is stale


def test_a_different_recipe_in_the_same_folder_is_refused(finished: tuple[Path, Path]) -> None:
    root, out = finished
    with pytest.raises(
        ValueError, match=r"(?s)another recipe:.*train\.max_steps: 6 there, 7 asked for.*--fresh"
    ):
        xv.run(small(root, "train.max_steps=7"), out)


def test_fresh_moves_the_old_run_aside(finished: tuple[Path, Path]) -> None:
    root, out = finished
    xv.run(small(root, "train.max_steps=1"), out, until="train", fresh=True)
    assert (out.with_name("run.old-1") / "record.json").is_file()
    assert set(figures(Run(out).record)) == {("float", "pytorch")}


def test_the_same_recipe_twice_gives_identical_weights(made: tuple[Path, Path], tmp_path: Path) -> None:
    root, out = made
    xv.run(small(root), tmp_path / "again", until="train")
    a, b = (load_file(f / "checkpoints/best.safetensors") for f in (out, tmp_path / "again"))
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[k].numpy(), b[k].numpy()) for k in a)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("recipe.yaml", r"recipe.yaml: cannot be read as YAML"),
        ("status.json", r"status.json: cannot be read as JSON"),
        ("evaluation.json", r"evaluation.json: expected the file that xvision wrote"),
        ("record.json", r"record.json: expected the file that xvision wrote, got a changed one"),
    ],
)
def test_a_broken_run_folder_names_the_file(finished: tuple[Path, Path], name: str, message: str) -> None:
    root, out = finished
    (out / name).write_text("{: [")
    (out / "report.html").unlink()
    with pytest.raises(ValueError, match=message):
        xv.run(small(root), out)


def test_folders_that_are_not_runs(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("mine")
    with pytest.raises(
        ValueError, match=r"other: expected a new or empty folder for a run, .* got a folder with other files"
    ):
        xv.run(small(tmp_path), tmp_path / "other")
    with pytest.raises(ValueError, match=r"notes.txt: expected a folder"):
        xv.run(small(tmp_path), tmp_path / "other/notes.txt")
    with pytest.raises(ValueError, match=r"other: not a run folder \(no recipe.yaml\)"):
        Run(tmp_path / "other")


def test_missing_data_is_a_data_error_and_leaves_no_stage(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="nowhere") as caught:
        xv.run(small(tmp_path / "nowhere"), tmp_path / "run")
    assert caught.value.exit_code == 3


def test_a_truncated_image_is_a_data_error(colours: Path, tmp_path: Path) -> None:
    whole = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    (colours / "train/red/bad.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StageError, match=r"bad\.jpg") as caught:
        xv.run(small(colours), tmp_path / "run")
    assert caught.value.exit_code == 3


def test_a_failed_verification_is_kept_and_exits_with_6(finished: tuple[Path, Path]) -> None:
    import onnx

    root, out = finished
    model = onnx.load(out / "export/int8/model.onnx")
    weight = next(
        t for t in model.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4
    )
    codes = onnx.numpy_helper.to_array(weight).copy()
    codes.flat[:50] += 3
    weight.CopyFrom(onnx.numpy_helper.from_array(codes, weight.name))
    onnx.save(model, out / "export/int8/model.onnx")
    status = json.loads((out / "status.json").read_text())
    status["stages"]["export int8"]["outputs"]["export/int8/model.onnx"] = sha256(
        out / "export/int8/model.onnx"
    )
    (out / "status.json").write_text(json.dumps(status))
    message = (
        r"verify: .*model.onnx computes something else than its simulation: expected at most 0 LSB, got \d+"
    )
    for _ in range(2):  # what was found wrong stays wrong
        with pytest.raises(VerificationError, match=message) as caught:
            xv.run(small(root), out)
        assert caught.value.exit_code == 6
        *_, parity = Run(out).record.parity
        assert not parity.ok
        assert parity.max_lsb > 0
        assert (out / "report.html").is_file()


def test_a_part_of_the_pipeline_leaves_a_record_of_what_it_reached(colours: Path, tmp_path: Path) -> None:
    run = xv.run(small(colours), tmp_path / "run", until="train")
    assert set(figures(run.record)) == {("float", "pytorch")}
    assert run.record.parity == ()
    assert set(run.record.stages) == {"train"}


def test_what_later_stages_found_before_does_not_stand_beside_new_results(
    finished: tuple[Path, Path],
) -> None:
    root, out = finished
    run = xv.run(small(root, "quant.num_images=8"), out, until="quantize")
    assert set(figures(run.record)) == {("float", "pytorch"), ("int8", "simulation")}
    assert run.record.parity == ()
    assert set(run.record.stages) == {"train", "quantize int8"}


def test_zero_epochs_take_the_weights_as_they_are(made: tuple[Path, Path], tmp_path: Path) -> None:
    """A trained network goes to a verified file of other data without training."""
    root, out = made
    again = xv.run(small(root, "train.max_steps=0", "train.epochs=0", f"net.weights={out}"), tmp_path / "run")
    a, b = (load_file(f / "checkpoints/best.safetensors") for f in (out, again.folder))
    assert all(np.array_equal(a[k].numpy(), b[k].numpy()) for k in a if "num_batches" not in k)
    first = figures(Run(out).record)
    assert figures(again.record)["float", "pytorch"] == first["float", "pytorch"]
    assert [parity.ok for parity in again.record.parity] == [True, True]


def test_a_set_without_training_images_can_be_measured_but_not_quantized(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    root, out = made
    shutil.copytree(root / "val", tmp_path / "images/val")
    recipe = small(tmp_path / "images", "train.max_steps=0", "train.epochs=0", f"net.weights={out}")
    xv.run(recipe, tmp_path / "run", until="train")
    with pytest.raises(
        StageError, match=r"quantize int8: image_folder: expected a split 'train', has val"
    ) as caught:
        xv.run(recipe, tmp_path / "run")
    assert caught.value.exit_code == 3


def test_the_file_says_nothing_of_the_folders_it_came_from(made: tuple[Path, Path]) -> None:
    import onnx

    root, out = made
    metadata = {p.key: p.value for p in onnx.load(out / "export/int8/model.onnx").metadata_props}
    assert str(root) not in str(metadata)
    assert json.loads(metadata["recipe"])["data"]["dataset"]["image_folder"]["val_ratio"] == 0.2


def test_scenes_need_no_files(tmp_path: Path) -> None:
    recipe = override(
        xv.recipe("demo"),
        ["data.num_train=32", "data.num_val=16", "train.max_steps=2", "train.threads=1", "train.workers=0"],
    )
    xv.run(recipe, tmp_path / "run")
    assert (tmp_path / "run/report.html").is_file()


def test_a_folder_where_nothing_was_reached_takes_the_corrected_recipe(
    made: tuple[Path, Path], tmp_path: Path
) -> None:
    root, _ = made
    with pytest.raises(StageError, match="nowhere"):
        xv.run(small(tmp_path / "nowhere"), tmp_path / "run", until="train")
    assert xv.run(small(root), tmp_path / "run", until="train").record.metrics


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("net.backbone=timm:resnet181",), "timm has no network called 'resnet181'; did you mean"),
        (("net.decoder=fpn_lite",), r"net\.decoder: classification needs class scores, fpn_lite gives maps"),
    ],
)
def test_settings_of_the_network_are_usage_errors(
    settings: tuple[str, ...], message: str, colours: Path, tmp_path: Path
) -> None:
    (colours / "broken.jpg").write_bytes(b"")  # it is not read
    with pytest.raises(SettingError, match=message) as caught:
        xv.run(override(small(colours), settings), tmp_path / "run")
    assert caught.value.exit_code == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("checkpoints/best.safetensors", 4),
        ("quant/int8/model.safetensors", 5),
        ("export/int8/model.onnx", 5),
        ("export/int8/parity.json", 6),
        ("report.html", 5),
    ],
)
def test_a_changed_file_is_refused_and_not_overwritten(
    name: str, code: int, finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = finished
    content = bytearray((out / name).read_bytes())
    content[len(content) // 2] ^= 0x40
    (out / name).write_bytes(content)
    before = everything(out)
    with pytest.raises(
        ChangedFileError, match=rf"{name}: expected the file that xvision wrote, got a"
    ) as caught:
        xv.run(small(root), out)
    assert caught.value.exit_code == code
    assert everything(out) == before
    if name.startswith(("checkpoints", "quant")):
        assert call("val", str(out)) == code
        assert "delete it and `xvision run` makes it again" in capsys.readouterr().err
    (out / name).unlink()
    xv.run(small(root), out)
    assert Run(out).record.parity[0].ok


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("export/int8/model.onnx", 5, ["predict", "{run}/export/int8/model.onnx", "{data}/val"]),
        (
            "checkpoints/best.safetensors",
            4,
            ["run", "classification", *TINY, "net.weights={run}", "--out", "{run}_2"],
        ),
        ("evaluation.json", 6, ["val", "{run}"]),
        ("samples/sample_00.png", 5, ["report", "{run}", "--out", "{run}_3"]),
    ],
)
def test_a_changed_file_is_refused_by_who_reads_it(
    name: str, code: int, words: list[str], finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = finished
    content = bytearray((out / name).read_bytes())
    content[len(content) // 2] ^= 0x40
    (out / name).write_bytes(content)
    assert call(*(word.format(run=out, data=root) for word in words)) == code
    assert f"{name}: expected the file that xvision wrote" in capsys.readouterr().err


def test_weights_that_are_made_again_are_the_same(
    finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """So no later stage runs, but for the record and the report of another training's times."""
    root, out = finished
    before = everything(out)
    (out / "checkpoints/best.safetensors").unlink()
    assert executed(small(root), out, capsys) == ["train", "record", "report"]
    after = everything(out)
    assert before.keys() == after.keys()
    kept = (
        "best.safetensors",
        "model.safetensors",
        ".onnx",
        ".png",
        "evaluation.json",
        "parity.json",
    )  # no times in them
    assert [name for name in before if name.endswith(kept) and before[name] != after[name]] == []


def test_what_no_stage_needs_may_be_lost(
    finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """A lost log is no reason to train for hours again."""
    root, out = finished
    for name in ("metrics.jsonl", "checkpoints/best.json", "checkpoints/last.safetensors"):
        (out / name).unlink()
    assert executed(small(root), out, capsys) == []
    xv.run(small(root, "quant.num_images=8"), out)
    assert "metrics.jsonl" not in Run(out).record.artefacts
    assert Run(out).record.parity[0].ok


def test_an_edited_recipe_is_told(finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    root, out = finished
    text = (out / "recipe.yaml").read_text()
    (out / "recipe.yaml").write_text("# mine\n" + text)
    assert executed(small(root), out, capsys) == []
    assert (out / "recipe.yaml").read_text() == "# mine\n" + text
    (out / "recipe.yaml").write_text(text.replace("max_steps: 6", "max_steps: 7"))
    for words in (["val"], ["report"], ["predict", str(root / "val")], ["quantize"]):
        capsys.readouterr()
        assert call(words[0], str(out), *words[1:]) == 2
    error = capsys.readouterr().err
    assert (
        "recipe.yaml was edited since the run was made:\n  train.max_steps: 6 when it was made, 7 there"
        in error
    )


def test_another_version_makes_proof_and_figures_stale_and_nothing_else(
    finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    root, out = finished
    status = json.loads((out / "status.json").read_text())
    old = (("train", "torch 1.0"), ("quantize int8", "torch 1.0"), ("verify int8", "onnxruntime 1.0"))
    for name, version in old:
        status["stages"][name]["version"] = version
    (out / "status.json").write_text(json.dumps(status))
    before = everything(out)
    for verb in ("report", "quantize"):
        assert call(verb, str(out)) == 0
        assert everything(out) == before
    capsys.readouterr()
    assert call("verify", str(out)) == 0
    said = capsys.readouterr().out
    assert "train: up to date, measured again" in said
    assert "export int8: up to date\nverify int8 …" in said
    assert (out / "export/int8/model.onnx").read_bytes() == before["export/int8/model.onnx"]
    assert (out / "report.html").is_file()  # the figures are the same: it is not stale
    assert executed(small(root), out, capsys) == []
    status = json.loads((out / "status.json").read_text())
    runtime = status["stages"]["verify int8"]["version"].partition(", ")[2]
    status["stages"]["verify int8"]["version"] = f"torch 1.0, {runtime}"
    (out / "status.json").write_text(json.dumps(status))
    assert "verify int8" in executed(small(root), out, capsys)
    assert {row.version.partition(" ")[0] for row in Run(out).record.parity} == {"torch"}


def test_one_process_writes(finished: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    import os
    import socket

    root, out = finished
    with locked(out, print):
        assert call("run", "classification", "data=image_folder", f"data.root={root}", "--out", str(out)) == 2
        assert f"process {os.getpid()} on {socket.gethostname()} does; wait for it" in capsys.readouterr().err
        assert (
            call(
                "run",
                "classification",
                f"data.root={root}",
                "data=image_folder",
                "--out",
                str(out),
                "--fresh",
            )
            == 2
        )
        assert call("val", str(out)) == 0, "reading takes no lock"
        assert call("show", "classification") == 0
        assert call("report", str(out), "--out", str(out.parent / "elsewhere")) == 0
        assert (out.parent / "elsewhere/report.html").is_file()


def test_a_second_process_leaves_the_new_folder_of_the_first_alone(colours: Path, tmp_path: Path) -> None:
    new = tmp_path / "run"
    claim(new, "run")
    with locked(new, print):
        with pytest.raises(FolderInUse, match="expected a folder that no other process writes to"):
            xv.run(small(colours), new)
        assert {file.name for file in new.iterdir()} == {marker("run"), LOCK}


def test_only_folders_of_xvision_are_moved(colours: Path, tmp_path: Path) -> None:
    recipe = small(colours, "train.max_steps=0", "train.epochs=0")
    with pytest.raises(ValueError, match=r"colours: expected a new or empty folder for a run"):
        xv.run(recipe, colours, fresh=True)
    assert (colours / "train").is_dir()
    xv.run(recipe, tmp_path / "run", until="train")
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    xv.run(recipe, tmp_path / "copy", until="train", fresh=True)
    assert (tmp_path / "copy.old-1/recipe.yaml").is_file()
