"""Segmentation and depth in one network: from drawn scenes to a verified file, and from two data sets."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import xvision as xv
from tests.conftest import write_images
from tests.pipeline.results import FILE, FLOAT, INT8, figures, of_json
from tests.pipeline.test_dense_run import SMALL
from tests.test_cli import call
from xvision.report.html import Page
from xvision.runs.files import RunFiles


def test_several_tasks_go_from_scenes_to_a_verified_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = xv.recipe("segmentation+depth", *SMALL, "train.balancing=gradnorm")
    run = xv.run(recipe, tmp_path / "run")
    record = run.record
    assert [parity.ok for parity in record.parity] == [True, True]
    measured = figures(record)
    assert measured[INT8] == measured[FILE]
    file = run.folder / "export/int8/model.onnx"
    assert record.primary == "score"
    assert {"segmentation/miou", "depth/abs_rel", "score"} <= measured[FLOAT].keys()
    assert record.heads.keys() == {"segmentation", "depth"}
    assert sum(head.macs for head in record.heads.values()) < record.cost.macs
    assert record.affinity is not None
    assert record.affinity.tasks == ("segmentation", "depth")
    assert record.affinity.cosines[0][0] == 1
    assert record.affinity.cosines[0][1] == record.affinity.cosines[1][0]

    page = Page(RunFiles(run.folder))
    assert [row[0] for row in page.heads] == ["what all share", "segmentation", "depth"]
    assert sum(float(row[2].rstrip(" %")) for row in page.heads) == pytest.approx(100, abs=0.2)
    assert [name for name, _ in page.affinity] == ["segmentation", "depth"]
    assert [found.field for found in page.confusions] == ["segmentation"]
    text = (run.folder / "report.html").read_text()
    assert "<h2>Tasks together</h2>" in text
    assert text.count("data:image/png") >= 4

    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), np.random.default_rng(0).integers(0, 256, (48, 96, 3), dtype=np.uint8))
    capsys.readouterr()
    found = []
    for target in (run.folder, file):
        words = (str(target), str(photo), "--out", str(tmp_path / "found"), "--fresh")
        assert call("predict", *words, "--json") == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    for ending, dtype in (("segmentation", np.uint8), ("depth", np.uint16)):
        written = cv2.imread(str(tmp_path / f"found/0000_photo_{ending}.png"), cv2.IMREAD_UNCHANGED)
        assert (written.shape, written.dtype) == ((48, 96), dtype)

    assert call("val", str(file), "--json") == 0
    assert of_json(json.loads(capsys.readouterr().out)) == {FILE: measured[FILE]}
    assert call("val", str(file), "data.labels=scenes:depth", "--json") == 0  # what there are labels of
    alone = of_json(json.loads(capsys.readouterr().out))[FILE]
    assert alone["depth/abs_rel"] == measured[FILE]["depth/abs_rel"]
    assert call("val", str(file), "data.labels=scenes:motion") == 3
    assert "split 'val': segmentation needs the label segmentation, scenes gives" in capsys.readouterr().err


def test_two_data_sets_with_different_labels(tmp_path: Path) -> None:
    """Classes from a folder of images, segmentation from drawn scenes: each sample has labels of one task."""
    root = write_images(tmp_path / "colours", num_train=4, num_val=2)
    texts = [t for t in SMALL if not t.startswith("train.max_steps")]
    run = xv.run(
        xv.recipe(
            "segmentation+classification",
            "data=scenes+image_folder",
            f"data.image_folder.root={root}",
            "data.labels=scenes:segmentation",
            "data.sampling=equal",
            *texts,
            "train.max_steps=2",
        ),
        tmp_path / "run",
    )
    record = run.record
    assert [parity.ok for parity in record.parity] == [True, True]
    assert record.data["train"].num_samples == 48
    assert record.data["val"].num_samples == 10
    assert record.classes["class"] == ("blue", "red")
    assert {"segmentation/miou", "classification/top1"} <= figures(record)[FILE].keys()
    assert record.affinity is not None
    assert record.heads.keys() == {"segmentation", "classification"}
    samples = json.loads((run.folder / "samples/samples.json").read_text())
    assert any("segmentation:" in row["label"] for row in samples)
    assert not any("classification:" in row["label"] and "segmentation:" in row["label"] for row in samples)


def test_a_task_whose_labels_no_set_has_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_images(tmp_path / "colours", num_train=4, num_val=2)
    texts = (
        "task=classification+depth",
        "data=image_folder",
        f"data.root={root}",
        "net.heads.depth=fpn_lite",
    )
    assert call("train", "classification", *texts, "--out", str(tmp_path / "run")) == 3
    message = (
        "split 'train': depth needs the label depth, image_folder gives image, class; choose other tasks"
    )
    assert message in capsys.readouterr().err
