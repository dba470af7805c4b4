"""`xvision val --predictions`: maps in files are measured as the network that wrote them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import xvision as xv
from tests.test_cli import call
from xvision.data.concat import open_data
from xvision.data.dataset import DataError
from xvision.predict.score import match
from xvision.predict.written import Entry

RELATIVE = (
    "abs_rel",
    "abs_rel_rng1",
    "abs_rel_rng3to20",
    "abs_rel_rng3to80",
    "abs_rel_rng3to255",
    "abs_rel_weighted_rng3to255",
)


@pytest.fixture(scope="module")
def written(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("predicted")
    assert call("predict", str(trained), "data.num_val=5", "--out", str(out)) == 0
    return out


@pytest.fixture
def files(written: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(written, tmp_path / "files"))


def score(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    capsys.readouterr()
    assert call("val", "--predictions", *words, "--json") == 0
    return values(json.loads(capsys.readouterr().out)["metrics"])


def values(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Metric to value."""
    return {row["metric"]: row["value"] for row in rows}


def fail(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    code = call("val", "--predictions", *words)
    return code, " ".join(capsys.readouterr().err.split())


def least_depth_m(folder: Path) -> float:
    """Of labels and predictions of the data set that was predicted."""
    recipe = xv.recipe("depth", "data.num_val=5")
    val = open_data(recipe.data).splits["val"]
    labels = [val.load(i)["depth"][16:118, :127] for i in range(len(val))]
    found = [cv2.imread(str(f), cv2.IMREAD_UNCHANGED) / 1000 for f in folder.glob("*_depth.png")]
    assert max(f.max() for f in found) < 65.5  # none is cut
    return float(min(x[x > 0].min() for x in (*labels, *found)))


def test_files_score_as_the_network_that_wrote_them(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ids exactly. Depth up to its rounding by 0.5 mm: a relative error changes by at most 0.5 mm / depth, the root of
    a mean square by at most 0.5 mm, that of logarithms by at most log(1 + 0.5 mm / (least depth - 0.5 mm)).
    """
    live = values(json.loads((written / "predictions.json").read_text())["metrics"])
    from_files = score(capsys, str(written))
    assert from_files.keys() == live.keys()
    for name, value in live.items():
        if name.startswith("segmentation/"):
            assert from_files[name] == value
    least = least_depth_m(written)
    relative = 0.0005 / (least - 0.0005)
    for name in RELATIVE:
        assert from_files[f"depth/{name}"] == pytest.approx(live[f"depth/{name}"], abs=100 * relative)
    assert from_files["depth/rmse_m"] == pytest.approx(live["depth/rmse_m"], abs=0.0005)
    assert from_files["depth/rmse_log"] == pytest.approx(live["depth/rmse_log"], abs=relative)
    assert from_files["depth/silog"] == pytest.approx(live["depth/silog"], abs=100 * relative)
    assert from_files["depth/abs_rel"] != live["depth/abs_rel"]  # it is the files that were read


def test_one_task_of_several(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = score(capsys, str(written))
    alone = score(capsys, str(written), "task=segmentation")
    assert alone == {name: value for name, value in both.items() if name.startswith("segmentation/")}
    assert len(alone) > 4


def test_files_of_another_program(written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Called like the samples alone, without predictions.json: the task, the data and the rectangle are named."""
    entries = json.loads((written / "predictions.json").read_text())["images"]
    other = tmp_path / "other/deep"
    other.mkdir(parents=True)
    for entry in entries:
        stem = Path(entry["files"]["segmentation"]).name.removesuffix("_segmentation.png").partition("_")[2]
        shutil.copy(written / entry["files"]["segmentation"], other / f"{stem}.png")
    words = ["data=scenes", "data.num_val=5", "data.crop_rect=16,0,118,127", "task=segmentation"]
    alone = score(capsys, str(tmp_path / "other"), *words)
    assert alone == score(capsys, str(written), "task=segmentation")
    code, message = fail(capsys, str(tmp_path / "other"), *words[:-1])
    assert code == 2
    assert "has no predictions.json that says what was predicted; add the task" in message
    # without the rectangle the labels are larger
    code, message = fail(capsys, str(tmp_path / "other"), *words[:2], "task=segmentation")
    assert code == 3
    assert "expected 128x128 (HxW), the size of the label of scene 10000000 (street), got 102x127" in message


def test_wrong_files_are_named(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = sorted(files.glob("*_segmentation.png"))[:2]
    kept = cv2.imread(str(first), cv2.IMREAD_UNCHANGED)
    kept[0, 0] = 255
    cv2.imwrite(str(first), kept)
    code, message = fail(capsys, str(files))
    assert code == 3
    assert f"{first.name}: expected class ids 0 to" in message
    assert "got 255 at 1 pixels" in message
    cv2.imwrite(str(first), kept[1:51])
    code, message = fail(capsys, str(files))
    assert (code, "got 50x127; write predictions at the label's size" in message) == (3, True)

    first.unlink()
    second.unlink()
    code, message = fail(capsys, str(files))
    assert code == 3
    assert "2 problems: scene 10000000 (street): no segmentation in" in message
    assert "expected scene_10000000_street_segmentation.png, or scene_10000000_street.png" in message


def test_wrong_depth_is_named(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = min(files.glob("*_depth.png"))
    depth = cv2.imread(str(first), cv2.IMREAD_UNCHANGED)
    depth[:2] = 0
    cv2.imwrite(str(first), depth)
    code, message = fail(capsys, str(files))
    assert (code, "expected depth in millimetres, 1 to 65535, got 0 at 254 pixels" in message) == (3, True)
    cv2.imwrite(str(first), np.ones((102, 127), np.uint8))
    assert fail(capsys, str(files))[0] == 3


def test_other_mistakes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fail(capsys, str(tmp_path / "none"))[0] == 3
    assert "expected settings of data and task" in fail(capsys, str(tmp_path), "train.epochs=1")[1]
    (tmp_path / "predictions.json").write_text("[]")
    assert "expected what `xvision predict --out` writes" in fail(capsys, str(tmp_path))[1]
    (tmp_path / "predictions.json").unlink()
    code, message = fail(capsys, str(tmp_path), "data=scenes", "task=classification")
    assert (code, "expected tasks whose predictions are maps" in message) == (2, True)
    capsys.readouterr()
    assert call("val") == 2
    assert "expected a run folder or an exported file, or --predictions DIR" in capsys.readouterr().err


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_files_are_matched_by_stem_and_folders(tmp_path: Path) -> None:
    names = ("val/bear/00000.jpg", "val/camel/00000.jpg", "val/camel/00001.jpg")
    kinds = [("motion",)] * 3
    touch(tmp_path, "bear/00000.png", "camel/00000.png", "camel/00001.png", "camel/00001_other.txt")
    found = [str(row["motion"].relative_to(tmp_path)) for row in match(tmp_path, (), names, kinds)]
    assert found == ["bear/00000.png", "camel/00000.png", "camel/00001.png"]
    # a name that says what it holds wins; a picture beside it is none
    touch(tmp_path, "camel/0007_00001_motion.png", "camel/0007_00001.png")
    assert match(tmp_path, (), names, kinds)[2]["motion"].name == "0007_00001_motion.png"
    # predictions.json says of which image a file is
    touch(tmp_path, "0000_00000_motion.png")
    entries = [Entry(image="some/val/bear/00000.jpg", files={"motion": "0000_00000_motion.png"})]
    assert match(tmp_path, entries, names, kinds)[0]["motion"].name == "0000_00000_motion.png"


def test_ambiguous_files_are_listed(tmp_path: Path) -> None:
    touch(tmp_path, "00000.png", "a/b.png", "c/b.png")
    with pytest.raises(
        DataError, match=r"(?s)3 problems.*may be of val/bear/00000.jpg or of val/camel/00000.jpg"
    ):
        match(tmp_path, (), ("val/bear/00000.jpg", "val/camel/00000.jpg", "x.png", "b.png"), [("depth",)] * 4)
    with pytest.raises(DataError, match=r"several files may be its depth \(a/b.png, c/b.png\); keep one"):
        match(tmp_path, (), ("b.png",), [("depth",)])


def test_several_kinds_lie_in_folders_of_their_names(tmp_path: Path) -> None:
    touch(tmp_path, "depth/x.png", "segmentation/x.png", "segmentation/y.png")
    (x, y) = match(tmp_path, (), ("x.jpg", "y.jpg"), [("segmentation", "depth"), ("segmentation",)])
    assert {kind: file.parent.name for kind, file in x.items()} == {
        "segmentation": "segmentation",
        "depth": "depth",
    }
    assert list(y) == ["segmentation"]  # it has no label of depth
