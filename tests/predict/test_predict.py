"""`xvision predict` on pictures, videos, a camera and a labelled data set."""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.predict.conftest import write_video
from tests.test_cli import call
from xvision.config.parts import Parts
from xvision.data.datasets import dataset
from xvision.data.settings import Data
from xvision.data.video import open_video
from xvision.predict.sources import find_sources


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_pictures_and_videos_in_one_call(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs = tmp_path / "in"
    write_video(inputs / "a/clip.mp4", 11)
    write_video(inputs / "b/clip.avi", 3)
    cv2.imwrite(str(inputs / "photo.png"), np.zeros((120, 128, 3), np.uint8))
    out = tmp_path / "out"
    model = str(trained / "export/int8/model.onnx")
    assert call("predict", model, str(inputs), "--out", str(out), "--frames", "9", "--json") == 0
    found = json.loads(capsys.readouterr().out)["images"]
    written = read(out / "predictions.json")
    assert written["images"] == found
    assert list(written["task"]) == ["segmentation", "depth"]

    clips = [(Path(e["image"]).name, e["frame"]) for e in found if "frame" in e]
    assert clips == [*(("clip.mp4", i) for i in range(9)), *(("clip.avi", i) for i in range(3))]
    assert found[1]["time_s"] == 0.1
    assert found[1]["files"] == {
        "video": "clip_overlay.mp4",
        "segmentation": "clip/000001_segmentation.png",
        "depth": "clip/000001_depth.png",
    }
    assert {f.name for f in out.iterdir()} == {
        ".xvision-predictions", "predictions.json", "clip", "clip_2", "clip_overlay.mp4",
        "clip_2_overlay.mp4", "0000_photo.png", "0000_photo_segmentation.png", "0000_photo_depth.png", "legend.png",
    }  # fmt: skip
    depth = cv2.imread(str(out / "clip_2/000002_depth.png"), cv2.IMREAD_UNCHANGED)
    assert (depth.dtype, depth.shape) == (np.uint16, (102, 127))  # of the cut frame
    film = open_video(out / "clip_overlay.mp4")
    assert (len(list(film.frames())), film.fps) == (9, 10)


def test_a_folder_is_of_one_call(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, inputs, out = str(trained / "export/int8/model.onnx"), tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    for name in "ab":
        cv2.imwrite(str(inputs / f"{name}.png"), np.zeros((120, 128, 3), np.uint8))
    call_it = ("predict", model, str(inputs), "--out", str(out))
    assert call(*call_it) == 0
    (inputs / "b.png").unlink()
    (out / "notes.txt").touch()
    assert call(*call_it) == 0
    assert {f.name for f in out.iterdir()} == {
        "0000_a.png", "0000_a_depth.png", "0000_a_segmentation.png", "legend.png", "notes.txt",
        "predictions.json", ".xvision-predictions",
    }  # fmt: skip

    other = ("predict", model, str(inputs / "a.png"), "--out", str(out))
    capsys.readouterr()
    assert call(*other) == 2
    assert (
        f"--out: expected an empty folder, or one that the same call has written; {out} holds what `xvision predict "
        f"{model} {inputs}` wrote; choose another --out, or --fresh to move the old one aside"
    ) in capsys.readouterr().err
    assert call(*other, "--fresh") == 0
    assert (tmp_path / "out.old-1/notes.txt").exists()
    assert not (out / "notes.txt").exists()

    said = read(out / "predictions.json")["call"]
    (out / "predictions.json").write_text(json.dumps({"call": said}))  # as an interrupted call leaves it
    assert call("val", "--predictions", str(out)) == 3
    assert "`xvision predict` did not finish here; make the same call again" in capsys.readouterr().err
    assert call(*other) == 0

    (out / ".xvision-predictions").unlink()
    for more in ((), ("--fresh",)):
        assert call(*other, *more) == 2
        assert f"{out}: expected a new or empty folder for a prediction" in capsys.readouterr().err
    assert call("predict", model, str(inputs), "--out", str(inputs / "a.png")) == 2
    assert f"{inputs / 'a.png'}: expected a folder for a prediction, got a file" in capsys.readouterr().err


def test_nothing_outside_of_the_folder_is_written_or_removed(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What predictions.json says is not trusted, nor are links in the folder."""
    model, image, out = str(trained / "export/int8/model.onnx"), str(tmp_path / "a.png"), tmp_path / "out"
    cv2.imwrite(image, np.zeros((120, 128, 3), np.uint8))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    victims = [tmp_path / "up.png", elsewhere / "linked.png", elsewhere / "absolute.png", out / "notes.txt"]
    assert call("predict", model, image, "--out", str(out)) == 0
    for victim in victims:
        victim.write_text("precious")
    stale = out / "0009_stale.png"
    stale.touch()
    (out / "link").symlink_to(elsewhere)
    (out / "0000_a.png").unlink()
    (out / "0000_a.png").symlink_to(victims[1])
    names = ("../up.png", "link/linked.png", str(victims[2]), "notes.txt", stale.name)
    plain = read(out / "predictions.json")
    plain["images"] += [{"image": "b", "files": {"picture": name}} for name in names]
    (out / "predictions.json").write_text(json.dumps(plain))
    assert call("predict", model, image, "--out", str(out)) == 0
    assert [victim.read_text() for victim in victims] == ["precious"] * 4
    assert not stale.exists()

    video = write_video(tmp_path / "clip.mp4", 2)
    (tmp_path / "films").mkdir()
    call_it = ("predict", model, str(video), "--out", str(tmp_path / "films"))
    assert call(*call_it) == 0
    shutil.rmtree(tmp_path / "films/clip")
    (tmp_path / "films/clip").symlink_to(elsewhere)
    capsys.readouterr()
    assert call(*call_it) == 2
    assert "films/clip/000000_segmentation.png: expected a file in " in capsys.readouterr().err
    assert {f.name for f in elsewhere.iterdir()} == {"linked.png", "absolute.png"}


@pytest.mark.parametrize(
    "plain",
    [[], {"call": 5}, {"call": [], "images": 5}, {"call": [], "images": [{"image": "a", "files": ["a"]}]}],
)
def test_a_foreign_predictions_json_is_refused_by_name(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], plain: Any
) -> None:
    image, out = str(tmp_path / "a.png"), tmp_path / "out"
    cv2.imwrite(image, np.zeros((120, 128, 3), np.uint8))
    words = ("predict", str(trained / "export/int8/model.onnx"), image, "--out", str(out))
    assert call(*words) == 0
    (out / "predictions.json").write_text(json.dumps(plain))
    for verb in (words, ("val", "--predictions", str(out))):
        assert call(*verb) == 3
        assert "predictions.json: expected what `xvision predict --out` writes" in capsys.readouterr().err


def test_a_full_disk_ends_it_with_whole_files_alone(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inputs, out = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (120, 128, 3), np.uint8)
    for name in "abc":
        cv2.imwrite(str(inputs / f"{name}.png"), noise)
    words = ("predict", str(trained / "export/int8/model.onnx"), str(inputs), "--out", str(out))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))  # as a full disk: write() fails half-way
    try:
        assert call(*words) == 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = capsys.readouterr()
    assert "0000_a.png: cannot be written (" in said.err
    assert "b.png" not in said.out
    assert {f.name for f in out.iterdir()} == {".xvision-predictions", "predictions.json"}
    assert call(*words) == 0


def test_what_cannot_be_read_is_left_out_and_told(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a2.png", "a10.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((120, 128, 3), np.uint8))
    (tmp_path / "a1.png").write_bytes(b"no image")
    cv2.imwrite(str(tmp_path / "a3.png"), np.zeros((100, 128, 3), np.uint8))
    words = (str(trained / "export/int8/model.onnx"), str(tmp_path), "--out", str(tmp_path / "out"))
    assert call("predict", *words) == 3
    error = capsys.readouterr().err
    assert f"{tmp_path / 'a1.png'}: cannot be decoded" in error
    assert f"{tmp_path / 'a3.png'}: expected an image that holds data.crop_rect=16,0,118,127" in error
    assert "2 images could be used, 2 could not" in error
    images = read(tmp_path / "out/predictions.json")["images"]
    assert [Path(entry["image"]).name for entry in images] == ["a2.png", "a10.png"]
    assert call("predict", *words[:2], "--fresh") == 2
    assert "--fresh: it moves the folder of --out aside; name one" in capsys.readouterr().err


def test_another_size_is_no_frame_before(tmp_path: Path) -> None:
    for name, height in (("0.png", 20), ("1.png", 30), ("2.png", 30)):
        cv2.imwrite(str(tmp_path / name), np.full((height, 24, 3), height, np.uint8))
    (pictures,) = find_sources([str(tmp_path)], frame_gap=1)
    with pytest.warns(
        UserWarning,
        match=r"1.png: 0.png, the frame before it, cannot be read or has another size; taken as if",
    ):
        frames = list(pictures.frames([]))
    assert frames[1].previous is frames[1].image
    assert frames[2].previous is frames[1].image


def test_a_network_of_two_frames_sees_the_one_before(tmp_path: Path) -> None:
    video = str(write_video(tmp_path / "clip.mp4", 4))
    for frame_gap in (1, 2):
        (clip,) = find_sources([video], frame_gap=frame_gap)
        frames = list(clip.frames([]))
        assert [f.number for f in frames] == [0, 1, 2, 3]
        assert frames[0].previous is frames[0].image
        assert frames[1].previous is frames[0].image
        assert frames[3].previous is frames[3 - frame_gap].image


def test_the_frame_before_lies_as_far_back_as_in_training(tmp_path: Path) -> None:
    for i in range(8, 13):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((30, 24, 3), i, np.uint8))
    (pictures,) = find_sources([str(tmp_path)], frame_gap=3)
    assert [int(frame.previous[0, 0, 0]) for frame in pictures.frames([])] == [8, 8, 8, 8, 9]
    set_with = dataset.image_mask_folder(frame_gap=3)
    assert Data(dataset=Parts(dataset, (set_with,)), size=(24, 32)).frame_gap == 3
    both = Parts(dataset, (set_with, dataset.frame_pair_folder()))
    with pytest.raises(
        ValueError,
        match=r"^data: expected one frame_gap for all data sets, got data.image_mask_folder.frame_gap=3",
    ):
        _ = Data(dataset=both, size=(24, 32)).frame_gap


class Camera:
    """What OpenCV gives for a camera of four frames; `then` happens at the third."""

    then: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, source: int) -> None:
        assert source == 7
        self.count = 0

    def isOpened(self) -> bool:
        return True

    def get(self, what: int) -> float:
        return 12.0 if what == cv2.CAP_PROP_FPS else -1.0

    def read(self) -> tuple[bool, Any]:
        self.count += 1
        if self.count == 3:
            type(self).then()
        return self.count <= 4, np.full((120, 128, 3), 30 * self.count, np.uint8)

    def release(self) -> None: ...


def test_a_camera_runs_until_it_ends_or_is_interrupted(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    of_files = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda of: Camera(of) if of == 7 else of_files(of))
    for name, more, num_frames in (("all", [], 4), ("some", ["--frames", "2"], 2)):
        assert (
            call(
                "predict", str(trained / "export/int8/model.onnx"), "7", "--out", str(tmp_path / name), *more
            )
            == 0
        )
        assert len(read(tmp_path / name / "predictions.json")["images"]) == num_frames
        assert len(list((tmp_path / name / "camera7").glob("*_depth.png"))) == num_frames
    monkeypatch.setattr(Camera, "then", staticmethod(lambda: signal.raise_signal(signal.SIGINT)))
    assert call("predict", str(trained / "export/int8/model.onnx"), "7", "--out", str(tmp_path / "cut")) == 0
    monkeypatch.undo()
    assert "7 frame 2" in capsys.readouterr().out
    assert len(read(tmp_path / "cut/predictions.json")["images"]) == 3
    film = open_video(tmp_path / "cut/camera7_overlay.mp4")
    assert (len(list(film.frames())), film.fps) == (3, 12)


def test_an_interrupted_video_keeps_what_was_found(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    video = write_video(tmp_path / "clip.mp4", 20)
    replace = os.replace

    def once(source: Path, target: Path) -> None:
        if target.name == "000003_depth.png":
            signal.raise_signal(signal.SIGINT)
        replace(source, target)

    monkeypatch.setattr(os, "replace", once)
    assert (
        call("predict", str(trained / "export/int8/model.onnx"), str(video), "--out", str(tmp_path / "out"))
        == 130
    )
    assert "interrupted after 4 images" in capsys.readouterr().err
    assert len(read(tmp_path / "out/predictions.json")["images"]) == 4
    assert len(list(open_video(tmp_path / "out/clip_overlay.mp4").frames())) == 4


def test_what_cannot_be_looked_at_is_named(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    (tmp_path / "notes.txt").write_text("neither")
    (tmp_path / "empty").mkdir()
    model = str(trained / "export/int8/model.onnx")
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((120, 128, 3), np.uint8))
    cases = {
        ("broken.mp4",): (3, "broken.mp4: expected a video, OpenCV cannot open it"),
        ("notes.txt",): (3, "notes.txt: expected an image or a video, it is neither"),
        ("empty",): (3, "empty: no image or video in this folder"),
        ("nowhere.png",): (3, "nowhere.png: no such image, video or folder"),
        ("98",): (3, "98: expected a camera of this number, none answers"),
        ("photo.png", "--frames", "3"): (2, "--frames: expected a video or a camera to bound, got images alone"),
        ("photo.png", "data=scenes"): (2, "expected images and videos, or the settings of a data set, got both"),
        ("data=scenes", "--frames", "3"): (2, "got a data set"),
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        for words, (code, message) in cases.items():
            assert call("predict", model, *words) == code, words
            assert message in " ".join(capsys.readouterr().err.split())


def test_an_image_is_known_by_what_it_holds(trained: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((120, 128, 3), np.uint8))
    (tmp_path / "photo.png").rename(tmp_path / "7")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        assert call("predict", str(trained), "7") == 0  # a file, and no camera


def test_a_labelled_data_set_gives_metrics_of_each_sample(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("val", str(trained), "--json") == 0
    rows = json.loads(capsys.readouterr().out)["metrics"]
    overall = {row["metric"]: row["value"] for row in rows if row["network"] == "int8"}
    out = tmp_path / "out"
    assert call("predict", str(trained), "data.num_val=5", "--out", str(out), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert {row["metric"]: row["value"] for row in found["metrics"]} == overall
    assert found["metrics"] == read(out / "predictions.json")["metrics"]

    with (out / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [entry["image"] for entry in found["images"]]
    for row, entry in zip(rows, found["images"], strict=True):
        for name, value in entry["metrics"].items():
            assert float(row[name]) == pytest.approx(value, abs=1e-6)
    # every scene has as many known pixels, so the whole's share is the mean of theirs
    alone = [float(row["segmentation/pixel_accuracy"]) for row in rows]
    assert overall["segmentation/pixel_accuracy"] == pytest.approx(np.mean(alone), abs=1e-4)
    assert any(row[name] == "" for row in rows for name in row)  # classes that are not there

    first = found["images"][0]["files"]
    assert set(first) == {"picture", "segmentation", "depth"}
    picture = cv2.imread(str(out / first["picture"]))
    assert picture.shape[1] >= 3 * 127  # image, label and prediction side by side
    assert cv2.imread(str(out / first["segmentation"]), cv2.IMREAD_UNCHANGED).shape == (102, 127)


def test_other_classes_are_refused(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("images", "masks"):
        (tmp_path / "own/val" / part).mkdir(parents=True)
        (tmp_path / "own/train" / part).mkdir(parents=True)
        for split in ("train", "val"):
            cv2.imwrite(str(tmp_path / "own" / split / part / "1.png"), np.eye(130, 128, dtype=np.uint8))
    words = ["data=image_mask_folder", f"data.root={tmp_path / 'own'}"]
    assert call("predict", str(trained), *words) == 3
    assert "knows the classes" in capsys.readouterr().err
