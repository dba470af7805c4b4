"""Scores of label maps: by hand, against plain numpy and torchmetrics, at the label's own resolution."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from xvision.data.dataset import DataError
from xvision.data.scenes import SEGMENTATION_CLASSES
from xvision.tasks.metrics.label_map import LabelMapMetric

CLASSES = ("road", "sky", "tree", "boat")


def metric(per_class: bool = True) -> LabelMapMetric:
    return LabelMapMetric("segmentation", "segmentation", CLASSES, per_class=per_class)


def test_every_score_by_hand() -> None:
    """Labels 0 0 0 1 1 2, found 0 0 1 1 1 0, and an unknown pixel; nobody speaks of class 3."""
    m = metric()
    found = torch.tensor([[[0, 0, 1, 1, 1, 0, 3]]])
    m.update({"segmentation": found}, {"segmentation": torch.tensor([[[0, 0, 0, 1, 1, 2, 255]]])})
    scores = m.compute()
    iou = [2 / 4, 2 / 3, 0]
    assert scores["miou"] == pytest.approx(100 * np.mean(iou))
    assert scores["pixel_accuracy"] == pytest.approx(100 * 4 / 6)
    assert scores["mean_class_accuracy"] == pytest.approx(100 * (2 / 3 + 1 + 0) / 3)
    assert scores["frequency_weighted_iou"] == pytest.approx(
        100 * (3 / 6 * iou[0] + 2 / 6 * iou[1] + 1 / 6 * iou[2])
    )
    assert [scores[f"iou_{c}"] for c in CLASSES[:3]] == pytest.approx([100 * v for v in iou])
    assert math.isnan(scores["iou_boat"])
    assert m.confusions() == {"segmentation": [[2, 1, 0, 0], [0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]}


def test_a_class_that_is_found_and_never_labelled_counts_as_zero() -> None:
    m = metric()
    m.update({"segmentation": torch.tensor([[[0, 3]]])}, {"segmentation": torch.tensor([[[0, 0]]])})
    assert m.compute()["miou"] == pytest.approx(25)
    assert m.compute()["mean_class_accuracy"] == pytest.approx(50)
    assert m.compute()["frequency_weighted_iou"] == pytest.approx(50)


@pytest.mark.parametrize("seed", range(3))
def test_against_torchmetrics(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    m, theirs = metric(per_class=False), MulticlassJaccardIndex(4, ignore_index=255)
    for _ in range(3):
        scores = torch.randn(2, 4, 6, 5, generator=draw)
        labels = torch.randint(0, 3, (2, 6, 5), generator=draw, dtype=torch.uint8)
        labels[torch.rand(2, 6, 5, generator=draw) < 0.3] = 255
        m.update({"segmentation": scores}, {"segmentation": labels})
        theirs.update(scores, labels.long())
    assert m.compute()["miou"] == pytest.approx(100 * float(theirs.compute()), rel=1e-5)
    assert set(m.compute()) == {"miou", "pixel_accuracy", "mean_class_accuracy", "frequency_weighted_iou"}


def test_scores_are_enlarged_before_the_argmax() -> None:
    """Scores 1 and 0 against 0 and 3 at two pixels: over four, class 1 has 0, 0.75, 2.25, 3 against 1, .75, .25, 0."""
    scores = torch.full((1, 4, 1, 2), -9.0)
    scores[0, 0, 0], scores[0, 1, 0] = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 3.0])
    labels = torch.tensor([[[0, 0, 1, 1]]], dtype=torch.uint8)
    m = metric()
    m.update({"segmentation": scores}, {"segmentation": labels})
    assert m.confusions()["segmentation"][0][:2] in ([2, 0], [1, 1])  # a tie at the second pixel
    ids = metric()
    ids.update({"segmentation": scores.argmax(1)}, {"segmentation": labels})
    assert ids.compute()["pixel_accuracy"] == 100


def test_labels_of_different_sizes() -> None:
    maps = torch.tensor([[[0, 1]], [[2, 2]]])
    labels = [torch.tensor([[0, 0, 1, 1]]), torch.tensor([[2], [0], [255]])]
    m, with_channel = metric(), metric()
    m.update({"segmentation": maps}, {"segmentation": labels})
    with_channel.update({"segmentation": maps[:, None]}, {"segmentation": labels})
    assert m.compute()["pixel_accuracy"] == pytest.approx(100 * 5 / 6)
    assert m.confusions() == with_channel.confusions()


def test_processes_add_up() -> None:
    draw = torch.Generator().manual_seed(0)
    whole, one, other = metric(), metric(), metric()
    for part in (one, other):
        out = {"segmentation": torch.randn(1, 4, 3, 3, generator=draw)}
        batch = {"segmentation": torch.randint(0, 4, (1, 3, 3), generator=draw)}
        part.update(out, batch)
        whole.update(out, batch)
    one.confusion.merge_state(other.confusion)
    assert one.compute() == pytest.approx(whole.compute(), nan_ok=True)


def test_nothing_known_is_no_number() -> None:
    m = metric()
    m.update({"segmentation": torch.zeros(1, 4, 2, 2)}, {"segmentation": torch.full((1, 2, 2), 255)})
    assert all(math.isnan(v) for v in m.compute().values())


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize(
    ("names", "where"), [(["a.png", "b.png"], r"b\.png"), (None, r"sample 1 of the batch")]
)
def test_a_label_that_is_no_class(as_list: bool, names: list[str] | None, where: str) -> None:
    labels = torch.zeros(2, 2, 2, dtype=torch.uint8)
    labels[1, 0, 0], labels[1, 1, 1] = 9, 255
    batch = {"segmentation": list(labels) if as_list else labels} | ({"name": names} if names else {})
    with pytest.raises(DataError, match=where + r": segmentation has the id 9; expected 0 to 3, or 255 for"):
        metric().update({"segmentation": torch.zeros(2, 4, 2, 2)}, batch)


def test_small_maps_have_a_ceiling() -> None:
    """The benchmark on a few scenes: what is thin is lost first, and depth where it jumps."""
    made = runpy.run_path(str(Path(__file__).parents[3] / "benchmarks/label_ceiling.py"))
    found = [made["classes"]("segmentation", SEGMENTATION_CLASSES, s, (64, 64), 4) for s in (2, 4, 8)]
    assert 100 > found[0]["miou"] > found[1]["miou"] > found[2]["miou"]
    assert found[2]["iou_pole"] < found[2]["iou_road"]
    assert 0 < made["depth"](2, (64, 64), 4)["abs_rel"] < made["depth"](4, (64, 64), 4)["abs_rel"] < 10
