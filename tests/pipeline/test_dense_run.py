"""Segmentation and depth from drawn scenes to a verified file, and what val and predict make of it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import xvision as xv
from tests.pipeline.results import FILE, FLOAT, INT8, figures, of_json
from tests.test_cli import call
from xvision.recipes.idle import idle_settings
from xvision.runs.run import Run

SMALL = (
    "data.num_train=24", "data.num_val=6", "data.size=64x64", "train.max_steps=3", "train.batch_size=4",
    "train.workers=0", "train.threads=1", "quant.num_images=4", "net.backbone=timm:mobilenetv2_035",
    "net.decoder.width=0.25",
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "primary", "ending"),
    [("segmentation", "miou", "segmentation"), ("depth", "abs_rel", "depth"), ("motion", "miou", "motion")],
)
def test_a_map_task_goes_from_scenes_to_a_verified_file(
    name: str, primary: str, ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = xv.run(xv.recipe(name, *SMALL), tmp_path / "run")
    record = run.record
    assert [parity.ok for parity in record.parity] == [True, True]
    found = figures(record)
    assert found[INT8] == found[FILE]
    assert f"{name}/{primary}" in found[FLOAT]
    file = run.folder / "export/int8/model.onnx"
    assert (run.folder / "report.html").read_text().count("data:image/png") >= 4

    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), np.random.default_rng(0).integers(0, 256, (48, 96, 3), dtype=np.uint8))
    found = []
    for target in (run.folder, file):
        words = (str(target), str(photo), "--out", str(tmp_path / "found"), "--fresh")
        assert call("predict", *words, "--json") == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    written = cv2.imread(str(tmp_path / f"found/0000_photo_{ending}.png"), cv2.IMREAD_UNCHANGED)
    assert written.shape == (48, 96)
    assert written.dtype == (np.uint16 if name == "depth" else np.uint8)

    assert call("val", str(file), "--json") == 0
    assert of_json(json.loads(capsys.readouterr().out)) == {FILE: figures(record)[FILE]}


def test_a_warning_of_the_data_stands_in_record_report_and_last_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for i in range(6):
        for kind, value in (
            ("images", np.full((64, 64, 3), 40 * i, np.uint8)),
            ("depth", np.full((64, 64), 5, np.uint16)),
        ):
            (tmp_path / kind).mkdir(exist_ok=True)
            cv2.imwrite(str(tmp_path / f"{kind}/{i}.png"), value)
    settings = ("data=image_depth_folder", f"data.root={tmp_path}", *SMALL[2:])
    assert call("run", "depth", *settings, "--out", str(tmp_path / "run")) == 0
    shown = capsys.readouterr().err.splitlines()
    (line,) = json.loads((tmp_path / "run/record.json").read_text())["warnings"]
    assert "that is probably the wrong unit; set data.unit" in line
    assert shown.count(f"warning: {line}") == 2
    last = shown[shown.index(f"warning: {line}", shown.index(f"warning: {line}") + 1) :]
    assert all(one.startswith("warning: ") for one in last), "with the warnings of its quantization"
    assert "probably the wrong unit" in (tmp_path / "run/report.html").read_text()


def test_balanced_classes_are_counted_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [*SMALL, "train.max_steps=1", "task.class_balance=median_frequency"]
    settings.remove("train.max_steps=3")
    assert call("train", "segmentation", *settings, "--out", str(tmp_path / "run")) == 0
    (line,) = [ln for ln in capsys.readouterr().out.splitlines() if ln.startswith("class weights of")]
    assert line.startswith("class weights of segmentation (median_frequency, 24 samples): ")
    assert call("val", str(tmp_path / "run")) == 0  # without counting
    assert "class weights" not in capsys.readouterr().out


def test_ids_of_cut_images_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`export.argmax` of a run that is there already, and `data.crop_rect` all the way to predicted maps."""
    folder = tmp_path / "run"
    run = xv.run(xv.recipe("segmentation", *SMALL, "data.crop_rect=16,0,64,60"), folder)
    scores = run.record
    capsys.readouterr()
    assert call("report", str(folder)) == 0
    assert "train: up to date" in capsys.readouterr().out
    run = xv.run(xv.recipe("segmentation", *SMALL, "data.crop_rect=16,0,64,60", "export.argmax=true"), folder)
    file = run.folder / "export/int8/model.onnx"
    assert [parity.ok for parity in run.record.parity] == [True, True]
    assert figures(run.record)[INT8] == figures(scores)[INT8]  # neither trained nor quantized again
    assert (
        run.record.artefacts["checkpoints/best.safetensors"]
        == scores.artefacts["checkpoints/best.safetensors"]
    )
    assert run.record.artefacts["export/int8/model.onnx"] != scores.artefacts["export/int8/model.onnx"]

    capsys.readouterr()
    assert call("val", str(file), "--json") == 0
    assert of_json(json.loads(capsys.readouterr().out)) == {FILE: figures(run.record)[FILE]}
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), np.random.default_rng(0).integers(0, 256, (80, 96, 3), dtype=np.uint8))
    assert call("predict", str(file), str(photo), "--out", str(tmp_path / "found"), "--json") == 0
    found = cv2.imread(str(tmp_path / "found/0000_photo_segmentation.png"), cv2.IMREAD_UNCHANGED)
    assert found.shape == (48, 60)
    assert cv2.imread(str(tmp_path / "found/0000_photo.png")).shape == (48, 60, 3)
    cv2.imwrite(str(photo), np.zeros((40, 96, 3), np.uint8))
    assert call("predict", str(file), str(photo)) == 3
    assert "expected an image that holds data.crop_rect=16,0,64,60" in capsys.readouterr().err


def test_argmax_of_a_task_without_classes_is_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("train", "depth", *SMALL, "export.argmax=true", "--out", str(tmp_path / "run")) == 2
    assert (
        "export.argmax: expected a task that finds a class for each pixel, depth" in capsys.readouterr().err
    )


def test_a_composed_recipe_takes_what_motion_needs() -> None:
    recipe = xv.recipe("segmentation+depth+motion")
    assert recipe.net.inputs == xv.recipe("motion").net.inputs == "image+flow+confidence"


def test_training_calibration_and_validation_see_whole_images_in_one_aspect(tmp_path: Path) -> None:
    for kind, value in (("images", 200), ("masks", 1)):
        for split in ("train", "val"):
            (tmp_path / split / kind).mkdir(parents=True)
            picture = np.zeros((64, 128), np.uint8)
            picture[:, :32] = picture[:, -32:] = value  # what a crop of the input's aspect would not see
            cv2.imwrite(str(tmp_path / split / kind / "a.png"), picture)
    settings = ("data=image_mask_folder", f"data.root={tmp_path}", "data.augment.hflip=0", *SMALL[2:])
    run = Run(
        tmp_path / "run",
        xv.recipe(
            "segmentation",
            *settings,
            "data.crop_ratio=0.5",
            "data.augment.zoom=1,1",
            "data.augment.brightness=0",
            "data.augment.contrast=0",
        ),
    )
    seen = [
        next(iter(run.loader("train", train=True).epoch(0)))["image"][0],
        next(run.planes("val"))[0][0],
        next(run.calibration())[0][0],
    ]
    for image in seen:
        assert (image.shape[-2:], int(image[0, 32, 0]), int(image[0, 32, 32])) == ((64, 64), 200, 0)
        assert float(image.float().mean()) == 100
    stretched = xv.recipe("segmentation", *settings, "data.crop_ratio=0.5", "data.framing=stretch")
    assert idle_settings(stretched) == ["data.crop_ratio=0.5 changes nothing: only data.framing=crop crops"]
