"""Segmentation, motion and depth: what they learn from, decode, draw and write."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from xvision.data.framing import spanning
from xvision.models.outputs import OutputSpec, Reading
from xvision.tasks import task
from xvision.tasks.depth import LOG_RANGE, metres
from xvision.tasks.multi import MultiTask
from xvision.tasks.palette import UNKNOWN, depth_picture, depth_scale
from xvision.tasks.view import Prediction
from xvision.tasks.visualize import STRIP_PX, legend, legible, row

NAMES = {"segmentation": ("road", "sky", "car")}


def test_segmentation_loss_is_cross_entropy_over_known_pixels() -> None:
    made = task.segmentation().build(NAMES)
    labels = torch.tensor([[[0, 1], [255, 255]]], dtype=torch.uint8)
    terms = made.loss({"segmentation": torch.zeros(1, 3, 2, 2)}, {"segmentation": labels})
    assert {name: float(value) for name, value in terms.items()} == {
        "cross_entropy": pytest.approx(math.log(3))
    }


def test_class_weights_always_apply() -> None:
    labels = torch.tensor([[[0, 1]]], dtype=torch.uint8)
    out = {"segmentation": torch.zeros(1, 3, 1, 2)}
    plain, weighted = (
        task.segmentation(class_weights=w).build(NAMES).loss(out, {"segmentation": labels})["cross_entropy"]
        for w in ((), (3.0, 1.0, 1.0))
    )
    assert float(weighted) == pytest.approx(2 * float(plain))


def test_scores_are_enlarged_before_the_argmax() -> None:
    made = task.segmentation().build(NAMES)
    scores = torch.tensor([[[[4.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]]]])
    (found,) = made.decode({"segmentation": scores}, [spanning((1, 4))])
    assert found.maps["segmentation"].tolist() == [[0, 0, 0, 1]]
    assert found.values["shares"] == {"road": 0.75, "sky": 0.25}
    assert made.view.caption(found) == "road 75 %, sky 25 %"


def test_ids_of_a_file_take_the_nearest_pixel() -> None:
    made = task.segmentation().build(NAMES)
    assert made.class_maps == ("segmentation",)
    ids = torch.tensor([[[[0, 1]]]], dtype=torch.uint8)
    (found,) = made.decode({"segmentation": ids}, [spanning((1, 4))])
    assert found.maps["segmentation"].tolist() == [[0, 0, 1, 1]]
    metric = made.metric()
    metric.update({"segmentation": ids}, {"segmentation": torch.tensor([[[0, 0, 0, 1]]], dtype=torch.uint8)})
    assert metric.compute()["segmentation/pixel_accuracy"] == pytest.approx(75)


def test_a_picture_of_labels_leaves_unknown_pixels_alone() -> None:
    made = task.segmentation().build(NAMES)
    image = np.full((2, 2, 3), 100, np.uint8)
    (truth,) = made.ground_truth({"segmentation": torch.tensor([[[0, 255], [255, 255]]], dtype=torch.uint8)})
    drawn = made.view.draw(image, truth)
    assert drawn.shape == image.shape
    assert np.ptp(drawn[0, 0]) > 50
    assert (np.ptp(drawn[1], axis=1) == 0).all()
    assert made.view.files(truth)["segmentation.png"].dtype == np.uint8


def test_headings_say_what_is_label_and_what_is_prediction() -> None:
    made = task.segmentation().build(NAMES)
    image = np.full((2, 2, 3), 100, np.uint8)
    label, found = made.ground_truth(
        {"segmentation": torch.tensor([[[0, 1], [1, 255]], [[2, 2], [2, 2]]], dtype=torch.uint8)}
    )
    drawn = made.view.draw(image, found, label)
    large = legible(image)
    panes = {
        "image": large,
        "label": made.view.draw(large, label),
        "prediction": made.view.draw(large, found),
    }
    below = legend(3 * 160, {**made.view.legend, "unknown": UNKNOWN})
    assert np.array_equal(drawn, np.concatenate([row(panes), below]))
    some = made.view.draw(image, label, label)
    without_car = {name: colour for name, colour in made.view.legend.items() if name != "car"}
    assert np.array_equal(some[-20:], legend(3 * 160, {**without_car, "unknown": UNKNOWN}))


def test_motion_is_seen_on_an_object_of_any_colour() -> None:
    made = task.motion().build({})
    (truth,) = made.ground_truth({"motion": torch.tensor([[[0, 0, 0, 1, 1, 1]] * 3], dtype=torch.uint8)})
    for colour in ((0, 0, 0), (255, 255, 255), (240, 40, 40), (20, 240, 20)):
        drawn = made.view.draw(np.full((3, 6, 3), colour, np.uint8), truth).astype(int)
        still, moving = drawn[1, 1], drawn[1, 4]
        assert np.ptp(still) == 0
        assert np.ptp(moving) >= 100  # far from grey
        assert (drawn[:, 3] == 0).all()  # its contour


def test_motion_is_drawn_where_something_moves() -> None:
    made = task.motion(class_weights=(0.05, 0.95)).build({})
    (output,) = made.outputs
    assert replace(output, reading=Reading()) == OutputSpec("motion", 2, "map", field="motion")
    assert [step.operation for step in output.reading.steps] == ["to_image", "argmax"]
    assert (made.needs, made.classes["motion"]) == (("motion",), ("static", "moving"))
    image = np.full((1, 4, 3), 100, np.uint8)
    labels = torch.tensor([[[0, 1, 255, 0]]], dtype=torch.uint8)
    (truth,) = made.ground_truth({"motion": labels})
    assert made.view.caption(truth) == "moving 33.3 %"
    drawn = made.view.draw(image.repeat(4, 0).repeat(4, 1), truth)
    assert (np.ptp(drawn, axis=2) > 0).any(0).nonzero()[0].tolist() == [5, 6, 7]  # beside a line
    assert list(made.view.legend) == ["static", "moving"]
    assert made.view.files(truth)["motion.png"].tolist() == [[0, 1, 255, 0]]
    (term,) = made.loss({"motion": torch.zeros(1, 2, 1, 4)}, {"motion": labels}).values()
    assert float(term) == pytest.approx((0.05 + 0.95 + 0.05) / 3 * math.log(2))
    metric = made.metric()
    metric.update({"motion": torch.tensor([[[[1.0, 0, 0, 0]], [[0, 1.0, 0, 1.0]]]])}, {"motion": labels})
    assert metric.compute() == {
        "motion/miou": 50.0,
        "motion/moving_iou": 50.0,
        "motion/static_iou": 50.0,
    }
    with pytest.raises(ValueError, match="expected 2 weights, one for each class, got 3"):
        task.motion(class_weights=(1.0, 1.0, 1.0)).build({})


def test_wrong_settings_of_segmentation() -> None:
    with pytest.raises(ValueError, match="expected at least the 3 classes of the data set, got 2"):
        task.segmentation(num_classes=2).build(NAMES)
    with pytest.raises(
        ValueError, match="expected data with classes of 'segmentation', this has none; choose another"
    ):
        task.segmentation().build({})
    with pytest.raises(ValueError, match=r"task\.class_weights: expected 3 weights"):
        task.segmentation(class_weights=(1.0,)).build(NAMES)
    with pytest.raises(ValueError, match="no label_loss is called 'silog'; known: cross"):
        task.segmentation(losses=("silog",)).build(NAMES)


def test_raw_outputs_are_logarithms_of_metres() -> None:
    raw = torch.tensor([[[[math.log(2.0), 99.0]]]])
    assert metres(raw).flatten().tolist() == pytest.approx([2.0, math.exp(LOG_RANGE[1])])


def test_depth_counts_known_pixels_in_metres() -> None:
    made = task.depth(losses=("l1",)).build({})
    out = {"depth": torch.full((1, 1, 1, 2), math.log(3.0))}
    batch = {"depth": torch.tensor([[[2.0, 0.0]]])}
    assert float(made.loss(out, batch)["l1"]) == pytest.approx(1.0)
    metric = made.metric()
    metric.update(out, batch)
    values = metric.compute()
    assert values["depth/abs_rel"] == pytest.approx(50)
    assert values["depth/rmse_m"] == pytest.approx(1)
    assert not made.improves(60, 50)
    assert made.improves(40, 50)


def test_depth_is_drawn_with_its_scale_and_written_in_millimetres() -> None:
    made = task.depth().build({})
    (found,) = made.decode({"depth": torch.full((1, 1, 4, 4), math.log(2.5))}, [spanning((8, 120))])
    assert found.maps["depth"].shape == (8, 120)
    assert made.view.files(found)["depth.png"].dtype == np.uint16
    assert (made.view.files(found)["depth.png"] == 2500).all()
    assert made.view.caption(found) == "2.5-2.5 m, median 2.5 m"
    picture = made.view.draw(np.zeros((8, 200, 3), np.uint8), found)
    assert picture.shape == (8 + 8 + 26, 200, 3)
    assert made.view.draw(np.zeros((8, 100, 3), np.uint8), found, found).shape == (26 + 16 + 8 + 26, 600, 3)


def test_label_and_prediction_share_the_scale_of_the_label() -> None:
    made = task.depth().build({})
    image = np.zeros((20, 160, 3), np.uint8)
    label, found = (Prediction({}, {"depth": np.full((20, 160), m, np.float32)}) for m in (2.0, 8.0))
    drawn = made.view.draw(image, found, label)
    scale = depth_scale(label.maps["depth"])
    panes = {
        "image": image,
        "label": depth_picture(image, label.maps["depth"], *scale),
        "prediction": depth_picture(image, found.maps["depth"], *scale),
    }
    assert np.array_equal(drawn, row(panes))


def test_depth_without_a_known_pixel_gives_no_loss() -> None:
    made = task.depth().build({})
    out = {"depth": torch.zeros(1, 1, 2, 2, requires_grad=True)}
    total = sum(made.loss(out, {"depth": torch.zeros(1, 2, 2)}).values())
    assert isinstance(total, torch.Tensor)
    total.backward()
    assert float(total.detach()) == 0
    assert out["depth"].grad is not None
    assert not out["depth"].grad.any()


def test_what_files_say_is_read_back(tmp_path: Path) -> None:
    """`read` is the inverse of `files`, in one task and in several."""
    both = MultiTask([task.segmentation().build(NAMES), task.depth().build({})])
    out = {
        "segmentation": torch.tensor([[[[9.0, 0, 0]], [[0, 9.0, 0]], [[0, 0, 9.0]]]]),
        "depth": torch.tensor([2.0, 0.5, 60.0]).log().reshape(1, 1, 1, 3),
    }
    (found,) = both.decode(out, [spanning((1, 3))])
    for ending, content in both.view.files(found).items():
        cv2.imwrite(str(tmp_path / ending), content)
    files = {ending: tmp_path / ending for ending in both.view.file_endings}
    back = both.view.read(files)
    assert back["segmentation"].tolist() == [[[[0, 1, 2]]]]
    assert metres(back["depth"]).flatten().tolist() == pytest.approx([2.0, 0.5, 60.0], abs=0.0005)
    assert set(both.view.read({"depth.png": tmp_path / "depth.png"})) == {"depth"}
    classes = task.classification().build({"class": ("a", "b")})
    assert classes.view.file_endings == ()
    with pytest.raises(ValueError, match="this task's predictions are not written as images"):
        classes.view.read({})


def test_a_task_without_labels_is_drawn_beside_the_image() -> None:
    """Its picture is as large as the others' parts, and not as their row."""
    both = MultiTask([task.segmentation().build(NAMES), task.depth().build({})])
    depth = Prediction({}, {"depth": np.ones((80, 200), np.float32)})
    segmentation = Prediction({"shares": {}}, {"segmentation": np.zeros((80, 200), np.uint8)})
    found = Prediction({}, {}, {"segmentation": segmentation, "depth": depth})
    label = Prediction({}, {}, {"depth": depth})
    image = np.full((80, 200, 3), 100, np.uint8)
    picture = both.view.draw(image, found, label)
    first = STRIP_PX + STRIP_PX + 80
    assert picture.shape == (first + STRIP_PX + STRIP_PX + 80 + 8 + 26, 3 * 200, 3)
    assert (picture[first - 80 : first, :200] == image).all()
    assert (picture[first - 80 : first, 400:] == 24).all()
