"""Networks of two streams on frames in folders, and on data that has none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.test_cli import call
from xvision.inference import frames_of, previous_files
from xvision.models.inputs import Inputs


def write(file: Path, seed: int, size: tuple[int, int] = (48, 64)) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    cv2.imwrite(str(file), cv2.GaussianBlur(pixels, (9, 9), 3))
    return file


def test_the_frame_before_an_image_is_the_file_before_it(tmp_path: Path) -> None:
    a9, a10, a11 = (write(tmp_path / f"one/a{i}.png", i) for i in (9, 10, 11))
    b1 = write(tmp_path / "two/b1.png", 1)
    (tmp_path / "one/notes.txt").write_text("no image")
    assert previous_files([a11, a9, b1, a10]) == [a10, a9, b1, a9]
    assert previous_files([a11]) == [a10]  # of its folder, even if that file was not asked for


def test_frames_come_with_the_flow_between_them(tmp_path: Path) -> None:
    first = write(tmp_path / "1.png", 0)
    shifted = np.roll(cv2.imread(str(first)), 2, axis=1)
    cv2.imwrite(str(tmp_path / "2.png"), shifted)
    files = [tmp_path / "1.png", tmp_path / "2.png"]
    assert set(frames_of(files, Inputs(), "dis").load(1)) == {"image"}
    pair = frames_of(files, Inputs("rgb", "image+previous"), "dis").load(1)
    assert (pair["image"][..., ::-1] == shifted).all()
    assert (pair["previous"] == frames_of(files, Inputs(), "dis").load(0)["image"]).all()
    for source in ("dis", "given"):
        split = frames_of(files, Inputs("rgb", "image+flow+confidence"), source)  # type: ignore[arg-type]
        still, moved = split.load(0), split.load(1)
        assert np.abs(still["flow"]).max() < 0.1
        assert np.abs(np.median(moved["flow"].reshape(-1, 2), 0) - (2, 0)).max() < 0.2


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
