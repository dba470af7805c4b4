"""A task that no file of the package knows goes through everything: one file makes a task."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import xvision as xv
from tests.pipeline.results import FILE, FLOAT, INT8, figures, of_json
from tests.pipeline.test_dense_run import SMALL
from tests.test_cli import call
from xvision.config.parts import parts_of
from xvision.data.framing import Inverse
from xvision.models.outputs import OutputSpec
from xvision.tasks import task
from xvision.tasks.contract import Task
from xvision.tasks.metrics.contract import Batch, Outputs, TaskMetric
from xvision.tasks.metrics.spec import MetricSpec
from xvision.tasks.metrics.sums import Sums, ratio
from xvision.tasks.view import Prediction, View
from xvision.tasks.visualize import Image, legible

# ------------------------------------------------------------------------------------------- what its file would hold


class Objects(Task):
    """Where anything stands before the background, learned from the labels of segmentation."""

    name = "objects"
    needs = ("segmentation",)
    loss_names = ("bce",)
    metrics = (
        MetricSpec("missed", "objects missed", "%", larger_is_better=False, primary=True),
        MetricSpec("at_*", "objects at threshold *", "%"),
    )

    def __init__(self) -> None:
        self.outputs = (OutputSpec("objectness", 1, "map", field="segmentation"),)
        self.classes = {}
        self.view = ObjectsView()

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        there = (batch["segmentation"][:, None] > 0).float()
        return {"bce": F.binary_cross_entropy_with_logits(out["objectness"].float(), there)}

    def own_metric(self) -> TaskMetric:
        return ObjectsMetric()

    def decode(self, out: Outputs, inverses: Sequence[Inverse]) -> list[Prediction]:
        maps = zip(out["objectness"], inverses, strict=True)
        return [
            _prediction(inverse.linear(logits[None].float())[0, 0].numpy() > 0) for logits, inverse in maps
        ]

    def ground_truth(self, batch: Batch) -> list[Prediction]:
        return [_prediction(np.asarray(labels) > 0) for labels in batch["segmentation"]]


def _prediction(there: np.ndarray[Any, Any]) -> Prediction:
    return Prediction({"covered": float(there.mean())}, {"objectness": there.astype(np.uint8)})


class ObjectsMetric(TaskMetric):
    def __init__(self) -> None:
        super().__init__()
        self.sums = Sums(["missed", "objects"])

    def update(self, out: Outputs, batch: Batch) -> None:
        for logits, labels in zip(out["objectness"], batch["segmentation"], strict=True):
            there = labels > 0
            found = F.interpolate(logits[None].float(), labels.shape[-2:])[0, 0] > 0
            self.sums.update({"missed": (there & ~found).sum(), "objects": there.sum()})

    def compute(self) -> dict[str, float]:
        sums = self.sums.compute()
        missed = 100 * ratio(sums["missed"], sums["objects"])
        return {"missed": missed, "at_half": 100 - missed}


class ObjectsView(View):
    def caption(self, prediction: Prediction) -> str:
        return f"{100 * prediction.values['covered']:.0f} % covered"

    def draw(self, image: Image, prediction: Prediction, ground_truth: Prediction | None = None) -> Image:
        shade = cv2.resize(prediction.maps["objectness"], image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        return legible((image // 2 + 100 * shade[..., None]).astype(np.uint8))

    def files(self, prediction: Prediction) -> dict[str, np.ndarray[Any, Any]]:
        return {"objects.png": 255 * prediction.maps["objectness"]}

    @property
    def file_endings(self) -> tuple[str, ...]:
        return ("objects.png",)

    def read(self, files: Mapping[str, Path]) -> Outputs:
        there = cv2.imread(str(files["objects.png"]), cv2.IMREAD_GRAYSCALE)
        return {"objectness": torch.from_numpy(there / 255 - 0.5).float()[None, None]}


# ---------------------------------------------------------------------------------------------------------- the test


@pytest.fixture
def registered() -> Iterator[None]:
    @task
    def objects(classes: Mapping[str, tuple[str, ...]]) -> Task:
        """Objects before the background."""
        return Objects()

    yield
    del task._own["objects"]


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("text", ["objects", "objects+depth"])
def test_a_new_task_with_a_map_needs_no_other_file(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = xv.recipe("segmentation", *SMALL).model_copy(update={"task": parts_of(task).parse(text)})
    run = xv.run(recipe, tmp_path / "run")
    assert run.recipe.data.framing == "stretch"  # as for any labels that are maps
    found = figures(run.record)
    assert {"objects/missed", "objects/at_half"} <= found[FLOAT].keys()
    assert found[INT8] == found[FILE]
    assert run.record.primary == ("objects/missed" if text == "objects" else "score")
    page = (run.folder / "report.html").read_text()
    assert "objects missed, %" in page
    assert "objects at threshold half, %" in page
    assert "% covered" in page

    out = tmp_path / "found"
    data = ("data=scenes", *SMALL[:2])
    assert call("predict", str(run.folder), *data, "--out", str(out), "--json") == 0
    live = json.loads(capsys.readouterr().out)["metrics"]
    assert len(list(out.glob("*_objects.png"))) == 6
    assert call("val", "--predictions", str(out), "--json") == 0
    (of_files,) = of_json(json.loads(capsys.readouterr().out)).values()
    assert of_files["objects/missed"] == found[INT8]["objects/missed"]
    assert live

    file = sorted(out.glob("*_objects.png"))[0]
    cv2.imwrite(str(file), np.zeros((9, 9), np.uint8))
    assert call("val", "--predictions", str(out)) == 3
    assert f"{file}: expected 128x128 (HxW), the size of the label" in capsys.readouterr().err
