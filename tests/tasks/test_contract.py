"""What every task promises, over the registry: losses, metrics that say what they mean, a view, files read back."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from xvision.data.framing import spanning
from xvision.fields import FIELDS
from xvision.tasks import task
from xvision.tasks.contract import Task
from xvision.tasks.multi import MultiTask

NAMES = ("a", "b", "c", "d", "e", "St. Bernard")
CLASSES = dict.fromkeys(FIELDS, NAMES)
SIZE = (64, 96)
NUM_JOINTS = 17
EVERY = sorted(
    name for name, builder in task.builders().items() if builder.fn is None
)  # not those of other tests


def make(name: str) -> Task:
    made: Task = task.part(name).build(CLASSES)
    return made


def outputs_of(one: Task, seed: int = 0) -> dict[str, Tensor]:
    """Raw outputs for two images, as the network gives them."""
    rng = torch.Generator().manual_seed(seed)
    found = {}
    for spec in one.outputs:
        strides = spec.strides or (1,)
        for name, stride in zip(spec.names, strides, strict=True):
            place = () if spec.kind == "scores" else (SIZE[0] // stride, SIZE[1] // stride)
            found[name] = torch.randn(2, spec.channels, *place, generator=rng)
    return found


@pytest.mark.parametrize("name", EVERY)
def test_a_task_says_what_its_outputs_mean(name: str) -> None:
    for spec in make(name).outputs:
        assert spec.reading.values != "raw"
        assert spec.reading.gives
        to_image = [step for step in spec.reading.steps if step.operation == "to_image"]
        assert len(to_image) == (spec.kind == "map")


def labels_of(one: Task) -> dict[str, Any]:
    """Labels for two images, all of them known."""
    rng = np.random.default_rng(0)
    batch: dict[str, Any] = {"name": ["x", "y"], "index": torch.arange(2)}
    for name in one.needs:
        field = FIELDS[name]
        shape = (2, *(SIZE if field.dims == "HW" else ()))
        if field.dims.startswith("N"):
            values = objects_of(name, len(one.classes.get(name, NAMES)), rng)
        elif name in one.classes:
            values = rng.integers(0, len(one.classes[name]), shape).astype(field.dtype)
        else:
            values = rng.uniform(0.5, 9, shape).astype(field.dtype)
        batch[name] = torch.from_numpy(values)
    return batch


def objects_of(name: str, num_classes: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    """Rows of objects for two images, small and large ones, as the loader stacks them: where one is missing -1."""
    most = 6
    rows = np.full((2, most, *FIELDS[name].row(NUM_JOINTS)), -1, FIELDS[name].dtype)
    height, width = SIZE
    for image, num in zip(rows, (most, most - 2), strict=True):
        sides = rng.uniform(6, 0.9 * height, (num, 2)) * np.linspace(0.2, 1, num)[:, None] + 4
        corner = rng.uniform(0, 1, (num, 2)) * (np.array([width, height]) - sides)
        if name == "boxes":
            ids = rng.integers(0, num_classes, (num, 1))
            image[:num] = np.concatenate([corner, corner + sides, ids], axis=1)
        else:
            joints = corner[:, None] + rng.uniform(0, 1, (num, NUM_JOINTS, 2)) * sides[:, None]
            image[:num] = np.concatenate([joints, rng.integers(0, 3, (num, NUM_JOINTS, 1))], axis=2)
    return rows


@pytest.mark.parametrize("name", EVERY)
def test_losses_are_those_that_are_named_and_each_output_learns(name: str) -> None:
    one = make(name)
    out = {key: value.requires_grad_() for key, value in outputs_of(one).items()}
    terms = one.loss(out, labels_of(one))
    assert tuple(terms) == one.loss_names
    assert one.terms == tuple(f"{name}/{term}" for term in terms)
    total = torch.stack(list(terms.values())).sum()
    assert total.isfinite()
    total.backward()
    for key, value in out.items():
        assert value.grad is not None, key
        assert value.grad.isfinite().all()
        assert value.grad.any(), key


@pytest.mark.parametrize("name", EVERY)
def test_every_metric_says_what_it_means(name: str) -> None:
    one = make(name)
    metric = one.metric()
    metric.update(outputs_of(one), labels_of(one))
    found = metric.compute()
    used = {spec.name for spec in one.metric_specs if any(spec.of(key) for key in found)}
    assert used == {spec.name for spec in one.metric_specs}
    for key, value in found.items():
        assert key.startswith(f"{name}/")
        spec = one.spec(key)
        assert spec.name == key
        assert spec.unit
        assert "_" not in spec.label.replace(NAMES[-1], "")
        assert "*" not in spec.label
        assert math.isfinite(value), key
    (primary,) = (spec for spec in one.metric_specs if spec.primary)
    assert (primary.name, primary.unit) == (one.primary, "%"), "scores of several tasks are shares"
    assert one.improves(2, 1) == one.spec(one.primary).larger_is_better == (not one.improves(1, 2))
    assert one.improves(1, math.nan)
    with pytest.raises(ValueError, match=f"metric '{name}/nonsense': expected one of {name}/.*; declare it"):
        one.spec(f"{name}/nonsense")


@pytest.mark.parametrize("name", EVERY)
def test_metrics_are_of_all_samples_whatever_the_batches(name: str) -> None:
    one = make(name)
    out, batch = outputs_of(one), labels_of(one)
    whole, alone = one.metric(), one.metric()
    whole.update(out, batch)
    for i in range(2):
        row = {key: value[i : i + 1] for key, value in batch.items()}
        alone.update({key: value[i : i + 1] for key, value in out.items()}, row)
    assert alone.compute() == pytest.approx(whole.compute())
    assert alone.confusions() == whole.confusions()
    for field, table in whole.confusions().items():
        assert len(table) == len(one.classes[field])


@pytest.mark.parametrize("name", EVERY)
def test_predictions_are_told_and_drawn(name: str) -> None:
    one = make(name)
    found = one.decode(outputs_of(one), [spanning((48, 40))] * 2)
    truth = one.ground_truth(labels_of(one))
    assert len(found) == len(truth) == 2
    image = np.full((48, 40, 3), 90, np.uint8)
    for prediction, label in zip(found, truth, strict=True):
        assert prediction.maps.keys() == label.maps.keys()
        assert all(values.shape == (48, 40) for values in prediction.maps.values())
        assert one.view.caption(prediction)
        assert one.view.caption(label)
        assert one.view.is_right(prediction, label) in (True, False, None)
        for picture in (one.view.draw(image, prediction), one.view.draw(image, prediction, prediction)):
            assert picture.dtype == np.uint8
            assert picture.ndim == 3
            assert picture.shape[1] >= 40
            assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 1
    assert (image == 90).all(), "the image is left as it is"


@pytest.mark.parametrize("name", EVERY)
def test_files_are_read_back_to_the_same_prediction(name: str, tmp_path: Path) -> None:
    one = make(name)
    (found, _) = one.decode(outputs_of(one), [spanning(SIZE)] * 2)
    written = one.view.files(found)
    assert set(one.view.file_endings) <= set(written)
    for ending, content in written.items():
        assert cv2.imwrite(str(tmp_path / ending), content)
    if not one.view.file_endings:
        with pytest.raises(ValueError, match="predictions are not written as images"):
            one.view.read({})
        return
    back = one.view.read({ending: tmp_path / ending for ending in one.view.file_endings})
    (again,) = one.decode(back, [spanning(SIZE)])
    assert again.maps.keys() == found.maps.keys()
    rewritten = one.view.files(again)
    assert all(np.array_equal(rewritten[ending], content) for ending, content in written.items())
    one.metric().update(back, {key: value[:1] for key, value in labels_of(one).items()})


@pytest.mark.parametrize("name", EVERY)
def test_it_works_beside_another_task(name: str) -> None:
    """Its figures are the same there, under the same keys, and are told apart by its name."""
    one, several = make(name), MultiTask([make(name)])
    out, batch = outputs_of(one), labels_of(one)
    alone, together = one.metric(), several.metric()
    alone.update(out, batch)
    together.update(out, batch)
    figures = together.compute()
    score = figures.pop("score")
    assert figures == alone.compute()
    primary = figures[one.primary]
    assert score == (primary if one.spec(one.primary).larger_is_better else max(0.0, 100 - primary))
    assert several.spec(one.primary).label == f"{name}: {one.spec(one.primary).label}"
    assert not several.spec(one.primary).primary
    (prediction, _) = several.decode(out, [spanning(SIZE)] * 2)
    assert several.view.caption(prediction) == f"{name}: {one.view.caption(prediction.parts[name])}"
    assert several.view.files(prediction).keys() == one.view.files(prediction.parts[name]).keys()
