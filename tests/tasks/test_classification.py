"""Image classification: loss, metrics by hand, what people read and see."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from xvision.data.framing import spanning
from xvision.models.outputs import OutputSpec, Reading
from xvision.tasks import task
from xvision.tasks.classification import Classification
from xvision.tasks.contract import Task

CLASSES = {"class": ("cat", "dog", "newt")}


def make(**settings: object) -> Task:
    built: Task = task.part("classification", settings).build(CLASSES)
    return built


def test_outputs_follow_the_classes_of_the_data() -> None:
    (output,) = make().outputs
    assert replace(output, reading=Reading()) == OutputSpec("class", 3, "scores", field="class")
    assert (output.reading.gives, [step.operation for step in output.reading.steps]) == (
        "class id",
        ["argmax"],
    )
    assert make(num_classes=5).classes == {"class": ("cat", "dog", "newt", "class 3", "class 4")}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"num_classes": 2},
            r"task\.num_classes: expected at least the 3 classes of the data set, got 2; leave",
        ),
        ({"label_smoothing": 1.0}, r"task\.label_smoothing: expected 0 <= value < 1, got 1.0"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**settings)


def test_one_class_is_not_a_classification() -> None:
    with pytest.raises(ValueError, match=r"classification expected at least two classes, got \['cat'\]"):
        task.part("classification").build({"class": ("cat",)})


def test_loss_of_ids_and_of_shares() -> None:
    out = {"class": torch.zeros(2, 3)}
    ids = make().loss(out, {"class": torch.tensor([0, 2])})
    shares = make().loss(out, {"class": torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]])})
    assert float(ids["cross_entropy"]) == pytest.approx(math.log(3))
    assert float(shares["cross_entropy"]) == pytest.approx(math.log(3))


def test_label_smoothing() -> None:
    """Szegedy et al., Rethinking the Inception Architecture, CVPR 2016, section 7: shares (1 - e) + e/K."""
    out = {"class": torch.tensor([[2.0, 0.0, 0.0]])}
    log_p = torch.log_softmax(out["class"], 1)[0]
    expected = -(0.9 * log_p[0] + 0.1 * log_p.mean())
    got = make(label_smoothing=0.1).loss(out, {"class": torch.tensor([0])})
    assert float(got["cross_entropy"]) == pytest.approx(float(expected))


def test_metrics_by_hand() -> None:
    metric = make().metric()
    scores = torch.eye(3)[torch.tensor([0, 0, 1, 2])]
    metric.update({"class": scores[:2]}, {"class": torch.tensor([0, 1])})
    metric.update({"class": scores[2:]}, {"class": torch.tensor([1, 2])})
    values = metric.compute()
    assert values["classification/top1"] == pytest.approx(75)
    assert values["classification/mean_class_accuracy"] == pytest.approx(100 * (1 + 0.5 + 1) / 3)
    assert values["classification/f1"] == pytest.approx(100 * (2 / 3 + 2 / 3 + 1) / 3)
    assert "classification/top5" not in values
    assert metric.confusions() == {"class": [[1, 0, 0], [1, 1, 0], [0, 0, 1]]}


def test_top5_comes_with_more_than_five_classes() -> None:
    metric = Classification(tuple("abcdef"), 0.0).metric()
    metric.update({"class": torch.arange(6.0).flip(0)[None]}, {"class": torch.tensor([4])})
    assert metric.compute()["classification/top5"] == 100


def test_what_people_read_and_see() -> None:
    (found,) = make().decode({"class": torch.tensor([[0.0, 3.0, 0.0]])}, [spanning((32, 40))])
    assert found.values["class"] == "dog"
    assert found.values["score"] == pytest.approx(math.exp(3) / (math.exp(3) + 2))
    assert found.values["top5"][0]["class"] == "dog"
    assert make().view.caption(found) == "dog 0.91"
    cat, dog = make().ground_truth({"class": torch.tensor([0, 1])})
    assert make().view.caption(cat) == "cat"
    picture = make().view.draw(np.zeros((32, 40, 3), np.uint8), found, cat)
    assert picture.dtype == np.uint8
    assert picture.shape == (26 + 128 + 26, 160, 3)  # the label above, the class below
    assert make().view.draw(np.zeros((32, 40, 3), np.uint8), found).shape == (128 + 26, 160, 3)
    assert (make().view.draw(np.zeros((32, 40, 3), np.uint8), found, dog) != picture).any()
