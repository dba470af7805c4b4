"""Networks of two streams on frames in folders, and on data that has none."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.test_cli import call
from xvision.data.video import open_video
from xvision.models.inputs import Inputs
from xvision.pipeline.run import run
from xvision.predict.sources import Pictures, previous_files, split_of
from xvision.recipes.named import recipe
from xvision.tasks.visualize import STRIP_PX


def write(file: Path, seed: int, size: tuple[int, int] = (48, 64)) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    cv2.imwrite(str(file), cv2.GaussianBlur(pixels, (9, 9), 3))
    return file


def test_the_frame_before_an_image_is_the_file_before_it(tmp_path: Path) -> None:
    a9, a10, a11 = (write(tmp_path / f"one/a{i}.png", i) for i in (9, 10, 11))
    b1 = write(tmp_path / "two/b1.png", 1)
    (tmp_path / "one/notes.txt").write_text("no image")
    assert previous_files([a11, a9, b1, a10], 1) == [a10, a9, b1, a9]
    assert previous_files([a11, a9, b1, a10], 2) == [a9, a9, b1, a9]
    assert previous_files([a11], 1) == [a10]  # of its folder, even if that file was not asked for


def test_frames_come_with_the_flow_between_them(tmp_path: Path) -> None:
    first = write(tmp_path / "1.png", 0)
    shifted = np.roll(cv2.imread(str(first)), 2, axis=1)
    cv2.imwrite(str(tmp_path / "2.png"), shifted)
    files = (tmp_path / "1.png", tmp_path / "2.png")
    (alone, _), frames = Pictures(files).frames([]), list(Pictures(files, frame_gap=1).frames([]))
    assert set(split_of([alone], Inputs(), "dis").load(0)) == {"image"}
    pair = split_of(frames, Inputs("rgb", "image+previous"), "dis").load(1)
    assert (pair["image"][..., ::-1] == shifted).all()
    assert (pair["previous"] == alone.image).all()
    for source in ("dis", "given"):
        split = split_of(frames, Inputs("rgb", "image+flow+confidence"), source)  # type: ignore[arg-type]
        still, moved = split.load(0), split.load(1)
        assert np.abs(still["flow"]).max() < 0.1
        assert np.abs(np.median(moved["flow"].reshape(-1, 2), 0) - (2, 0)).max() < 0.2


@pytest.fixture(scope="session")
def moving(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """An untrained network that takes flow, and the settings of its data: sequences of four and three frames."""
    folder = tmp_path_factory.mktemp("moving")
    for split in ("train", "val"):
        for sequence, count in (("one", 4), ("two", 3)):
            for i in range(count):
                write(folder / f"set/{split}/images/{sequence}/{i}.png", i)
                mask = folder / f"set/{split}/masks/{sequence}/{i}.png"
                mask.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(mask), np.eye(48, 64, dtype=np.uint8))
    data = ["data=frame_pair_folder", f"data.root={folder / 'set'}"]
    settings = ("data.size=64x96", "net.backbone=timm:mobilenetv2_035", "train.workers=0", "train.epochs=0")
    run(recipe("motion", *data, *settings), folder / "run", until="train")
    return folder / "run", data


def test_a_labelled_sequence_is_a_film_too(moving: tuple[Path, list[str]], tmp_path: Path) -> None:
    model, data = moving
    assert call("predict", str(model), *data, "--out", str(tmp_path)) == 0
    images = json.loads((tmp_path / "predictions.json").read_text())["images"]
    films = [entry["files"]["video"] for entry in images]
    assert films == ["val_images_one_overlay.mp4"] * 3 + ["val_images_two_overlay.mp4"] * 2
    for film in set(films):
        frames = list(open_video(tmp_path / film).frames())
        assert len(frames) == films.count(film)
    picture = cv2.imread(str(tmp_path / images[0]["files"]["picture"]))
    assert frames[0].shape == picture.shape  # image, label and prediction


def test_the_flow_that_a_network_saw_is_shown(moving: tuple[Path, list[str]], tmp_path: Path) -> None:
    model, data = moving
    photos = data[1].removeprefix("data.root=") + "/val/images/one"
    for name, words in (("photos", [photos]), ("labelled", data)):
        assert call("predict", str(model), *words, "--out", str(tmp_path / name)) == 0
        images = json.loads((tmp_path / name / "predictions.json").read_text())["images"]
        assert images
        for entry in images:
            shown = cv2.imread(str(tmp_path / name / entry["files"]["flow"]))
            assert shown.shape == (2 * 64 + STRIP_PX, 2 * 96, 3)  # of the network's input, made legible
        assert (tmp_path / name / "legend.png").is_file()
    still = cv2.imread(str(tmp_path / "photos/0000_0_flow.png"))
    assert (still[:64, :96] > 250).all()  # the first of a folder is its own previous: white


def test_photographs_are_no_frames(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("train", "val"):
        write(tmp_path / f"photos/{part}/images/1.png", 0)
        write(tmp_path / f"photos/{part}/masks/1.png", 0)
        cv2.imwrite(str(tmp_path / f"photos/{part}/masks/1.png"), np.eye(48, 64, dtype=np.uint8))
    settings = [
        "data=image_mask_folder", f"data.root={tmp_path / 'photos'}", "data.size=64x64", "net.inputs=image+previous",
        "net.backbone=timm:mobilenetv2_035", "train.workers=0",
    ]  # fmt: skip
    assert call("run", "segmentation", *settings, "--out", str(tmp_path / "run")) == 3
    assert (
        "image_mask_folder: expected a previous frame for net.inputs=image+previous, the data set gives image, "
        "segmentation; choose a data set of frames" in " ".join(capsys.readouterr().err.split())
    )
