"""A task in one new file: two outputs at two strides from one decoder, boxes as labels, an exact int8 file.

A small detector: a heatmap of where objects' centres are, and at the centre of each, on the level of its size, its box.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import xvision as xv
from tests.pipeline.results import FILE, FLOAT, INT8, figures
from tests.pipeline.test_dense_run import SMALL
from xvision.config.parts import Parts
from xvision.data.framing import Inverse
from xvision.models.outputs import OutputSpec
from xvision.runs.contents import TrainLine
from xvision.tasks import task
from xvision.tasks.class_names import class_names
from xvision.tasks.contract import Task
from xvision.tasks.metrics.contract import Batch, Outputs, TaskMetric
from xvision.tasks.metrics.spec import MetricSpec
from xvision.tasks.metrics.sums import Sums, ratio
from xvision.tasks.view import Prediction, View
from xvision.tasks.visualize import Image

HEATMAP_STRIDE = 8
STRIDES = (8, 16)
LARGE_PX = 24  # the longer side of objects on the second level


def centers(classes: Mapping[str, tuple[str, ...]], *, box_weight: float = 0.1, num_classes: int = 0) -> Task:
    """Objects as points with boxes."""
    return Centers(class_names(classes, "boxes", "centers", num_classes), box_weight)


class Centers(Task):
    """Source, simplified: Zhou et al., "Objects as Points" (2019)."""

    name = "centers"
    needs = ("boxes",)
    loss_names = ("heatmap", "box")
    metrics = (MetricSpec("found", "objects found", "%", primary=True),)

    def __init__(self, classes: tuple[str, ...], box_weight: float) -> None:
        self.names = classes
        self.classes = {"boxes": classes}
        self.outputs = (
            OutputSpec("heatmap", len(classes), "map", (HEATMAP_STRIDE,)),
            OutputSpec("boxes", 4, "pyramid", STRIDES, field="boxes"),
        )
        self.box_weight = box_weight
        self.view = BoxView()

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Cross-entropy of every pixel of the heatmap, and L1 of the boxes at their centres."""
        heatmap, boxes = out["heatmap"], batch["boxes"]
        image, kind, y, x = centers_of(boxes, HEATMAP_STRIDE, heatmap.shape[-2:])
        expected = torch.zeros_like(heatmap)
        expected[image, kind, y, x] = 1
        errors = [heatmap.sum() * 0]
        for stride, near in zip(STRIDES, levels_of(boxes), strict=True):
            raw = out[f"boxes_{stride}"]
            image, _, y, x = centers_of(near, stride, raw.shape[-2:])
            errors.append((raw[image, :, y, x] - near[near[..., 4] >= 0][:, :4] / stride).abs().sum())
        count = (boxes[..., 4] >= 0).sum().clamp(min=1)
        return {
            "heatmap": F.binary_cross_entropy_with_logits(heatmap, expected),
            "box": self.box_weight * torch.stack(errors).sum() / count,
        }

    def own_metric(self) -> TaskMetric:
        return FoundMetric()

    def decode(self, out: Outputs, inverses: Sequence[Inverse]) -> list[Prediction]:
        """The most likely object of each image."""
        found = []
        for i, inverse in enumerate(inverses):
            scores = out["heatmap"][i].float()
            kind, y, x = np.unravel_index(int(scores.argmax()), scores.shape)
            raw = out[f"boxes_{HEATMAP_STRIDE}"][i, :, y, x].float().numpy() * HEATMAP_STRIDE
            box = inverse.boxes(np.array([[*raw, kind]], np.float32))
            found.append(self._prediction(box))
        return found

    def ground_truth(self, batch: Batch) -> list[Prediction]:
        return [self._prediction(rows[rows[:, 4] >= 0].numpy()) for rows in batch["boxes"]]

    def _prediction(self, boxes: np.ndarray[Any, Any]) -> Prediction:
        return Prediction(
            {"objects": [{"class": self.names[int(b[4])], "box": b[:4].tolist()} for b in boxes]}
        )


def levels_of(boxes: Tensor) -> list[Tensor]:
    """The boxes of each of `STRIDES`; the others' rows are -1."""
    large = (boxes[..., 2:4] - boxes[..., :2]).amax(dim=-1, keepdim=True) > LARGE_PX
    return [torch.where(large == is_large, boxes, -torch.ones_like(boxes)) for is_large in (False, True)]


def centers_of(boxes: Tensor, stride: int, shape: Sequence[int]) -> tuple[Tensor, ...]:
    """Image, class, row and column of the centre of each object (B, N, 5) on a map."""
    image, row = torch.nonzero(boxes[..., 4] >= 0, as_tuple=True)
    x0, y0, x1, y1, kind = boxes[image, row].unbind(1)
    y, x = (((a + b) / 2 / stride).long() for a, b in ((y0, y1), (x0, x1)))
    return image, kind.long(), y.clamp(0, shape[0] - 1), x.clamp(0, shape[1] - 1)


class FoundMetric(TaskMetric):
    """Objects at whose centre their class has the largest score."""

    def __init__(self) -> None:
        super().__init__()
        self.sums = Sums(["found", "objects"])

    def update(self, out: Outputs, batch: Batch) -> None:
        image, kind, y, x = centers_of(batch["boxes"], HEATMAP_STRIDE, out["heatmap"].shape[-2:])
        right = out["heatmap"][image, :, y, x].argmax(1) == kind
        self.sums.update({"found": right.sum(), "objects": torch.tensor(len(kind), device=right.device)})

    def compute(self) -> dict[str, float]:
        totals = self.sums.compute()
        return {"found": 100 * ratio(totals["found"], totals["objects"])}


class BoxView(View):
    """Boxes on the image."""

    def caption(self, prediction: Prediction) -> str:
        return ", ".join(one["class"] for one in prediction.values["objects"])

    def draw(self, image: Image, prediction: Prediction, ground_truth: Prediction | None = None) -> Image:
        drawn = image.copy()
        labels = ground_truth.values["objects"] if ground_truth else []
        for objects, colour in ((labels, (80, 220, 80)), (prediction.values["objects"], (240, 40, 40))):
            for one in objects:
                x0, y0, x1, y1 = (round(side) for side in one["box"])
                cv2.rectangle(drawn, (x0, y0), (x1, y1), colour, 1)
        return drawn


@pytest.fixture(scope="module", autouse=True)
def _registered() -> Iterator[None]:
    """Known while this file is tested, so that no other test meets one task more."""
    task(centers)
    yield
    del task._own["centers"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> xv.Run:
    small = [text for text in SMALL if "max_steps" not in text]
    recipe = xv.recipe("segmentation", *small, "train.max_steps=24", "train.log_every=6")
    recipe = recipe.model_copy(
        update={"name": "centers", "task": Parts(task, (task.centers(),)), "expect": {}}
    )
    return xv.run(recipe, tmp_path_factory.mktemp("centers") / "run")


def test_it_goes_from_scenes_to_an_exact_file(run: xv.Run) -> None:
    *_, parity = run.record.parity
    assert parity.ok, parity.first_difference
    assert parity.max_lsb == 0
    measured = figures(run.record)
    assert measured[INT8] == measured[FILE]
    assert measured[FLOAT].keys() == {"centers/found"}
    assert 0 <= measured[FLOAT]["centers/found"] <= 100
    assert len(list((run.folder / "samples").glob("sample_*.png"))) == 4


def test_one_decoder_gives_all_its_tensors(run: xv.Run) -> None:
    model = run.model
    assert list(model.decoders) == ["centers"]
    assert [name for name, _ in model.named_modules() if name.endswith("lateral")] == [
        "decoders.centers.lateral"
    ]
    with torch.no_grad():
        out = model(*model.inputs.example((64, 64), batch=2))
    assert {name: tuple(x.shape[1:]) for name, x in out.items()} == {
        "heatmap": (len(run.task.classes["boxes"]), 8, 8),
        "boxes_8": (4, 8, 8),
        "boxes_16": (4, 4, 4),
    }


def test_the_loss_fell(run: xv.Run) -> None:
    lines = [line for line in run.files.log if isinstance(line, TrainLine)]
    assert lines[0].terms.keys() == {"centers/heatmap", "centers/box"}
    assert lines[-1].loss < lines[0].loss


def test_boxes_reach_the_task_moved_with_the_image(run: xv.Run) -> None:
    """In training as in validation: rows of objects, padded with -1, in pixels of the input."""
    for name, train in (("train", True), ("val", False)):
        batch = next(run.loader(name, train=train).epoch(0))
        boxes = batch["boxes"]
        assert boxes.ndim == 3
        real = boxes[boxes[..., 4] >= 0]
        assert len(real)
        assert (real[:, :2] <= real[:, 2:4]).all()
        assert real[:, :4].min() >= 0
        assert real[:, :4].max() <= 64


def test_with_another_task_it_shares_the_backbone_or_the_decoder() -> None:
    recipe = xv.recipe("segmentation", *SMALL, "net.shared_decoder=true")
    both = Parts(task, (task.segmentation(), task.centers()))
    model: nn.Module = xv.build(recipe.model_copy(update={"task": both}))
    assert model.tasks_of("segmentation") == ("segmentation", "centers")  # type: ignore[operator]
    assert model.outputs == ("segmentation", "heatmap", "boxes_8", "boxes_16")


def test_decoders_that_give_maps_alone_refuse_it() -> None:
    recipe = xv.recipe("segmentation", *SMALL, "net.decoder=unet_lite")
    able = "bifpn_lite or fpn_lite or pan_lite"
    message = f"net.decoder: centers needs maps at strides, unet_lite gives maps; choose {able}"
    with pytest.raises(ValueError, match=message):
        xv.build(recipe.model_copy(update={"task": Parts(task, (task.centers(),))}))
