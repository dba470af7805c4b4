"""Several tasks at once: each sees what it would see alone, on the samples that have its labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from xvision.config.parts import Parts, parts_of
from xvision.data.framing import spanning
from xvision.tasks import task
from xvision.tasks.contract import Task
from xvision.tasks.missing_labels import rows_of, which
from xvision.tasks.multi import MultiTask, build_task
from xvision.tasks.visualize import column, legible, row

CLASSES = {"segmentation": ("road", "sky", "car"), "class": ("day", "night")}
TEXT = "segmentation+depth+classification"
HAS = {"depth": [True, False, True, False], "class": [False, False, True, True]}
ROWS = {"segmentation": [0, 1, 2, 3], "depth": [0, 2], "classification": [2, 3]}


def parts(text: str) -> Parts:
    return parts_of(task).parse(text)


@pytest.fixture
def multi() -> Task:
    return build_task(parts(TEXT), CLASSES)


def alone(name: str) -> Task:
    return build_task(parts(name), CLASSES)


@pytest.fixture
def out() -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    return {
        "segmentation": torch.randn(4, 3, 8, 8, generator=draw),
        "depth": torch.randn(4, 1, 8, 8, generator=draw),
        "class": torch.randn(4, 2, generator=draw),
    }


@pytest.fixture
def batch() -> dict[str, Any]:
    draw = torch.Generator().manual_seed(1)
    return {
        "name": list("abcd"),
        "index": torch.arange(4),
        "segmentation": torch.randint(0, 3, (4, 8, 8), generator=draw).to(torch.uint8),
        "depth": torch.rand(4, 8, 8, generator=draw) + 0.5,
        "class": torch.tensor([-1, -1, 1, 0]),
    }


def of_own_sizes(batch: dict[str, Any]) -> dict[str, Any]:
    """As validation gives it: labels as large as their files, one pixel where there is none."""
    small = torch.zeros(1, 1)
    depth = [d if has else small for d, has in zip(batch["depth"], HAS["depth"], strict=True)]
    return batch | {"depth": depth, "labelled": HAS}


def own(name: str, out: dict[str, Any], batch: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Outputs and labels of the samples that a task can use, by hand."""
    rows = ROWS[name]
    plain = {k: [v[i] for i in rows] if isinstance(v, list) else v[rows] for k, v in batch.items()}
    return {k: v[rows] for k, v in out.items()}, plain


# ------------------------------------------------------------------------------------------------------ building


def test_one_task_is_itself_and_several_know_what_all_know(multi: Task) -> None:
    assert build_task(parts("depth"), {}).name == "depth"
    assert isinstance(multi, MultiTask)
    assert multi.name == TEXT
    assert [part.name for part in multi.parts] == ["segmentation", "depth", "classification"]
    assert multi.needs == ("segmentation", "depth", "class")
    assert multi.needs_of_parts["classification"] == ("class",)
    assert [(o.name, o.channels) for o in multi.outputs] == [("segmentation", 3), ("depth", 1), ("class", 2)]
    assert multi.outputs_by_task == {task.name: task.outputs for task in multi.parts}
    assert multi.maps == ("segmentation", "depth")
    assert multi.class_maps == ("segmentation",)
    assert multi.classes == CLASSES
    assert multi.terms[0] == "segmentation/cross_entropy"
    assert multi.primary == "score"
    assert multi.improves(60, 50)
    assert multi.spec("depth/abs_rel").label == "depth: relative depth error"
    assert [spec.name for spec in multi.metric_specs if spec.primary] == ["score"]


def test_two_tasks_with_one_output_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "_own", {})

    @task
    def surfaces(classes: Any) -> Task:
        """Depth by another name."""
        made = alone("depth")
        made.name = "surfaces"
        return made

    with pytest.raises(
        ValueError, match="task: depth and surfaces both give the output 'depth'; leave one out"
    ):
        build_task(parts("depth+surfaces"), CLASSES)


# ------------------------------------------------------------------------------------------------ partial labels


@pytest.mark.parametrize("partial", [False, True])
def test_losses_are_those_of_each_task_alone(
    multi: Task, out: dict[str, torch.Tensor], batch: dict[str, Any], partial: bool
) -> None:
    if partial:
        batch["labelled"] = HAS
    else:
        batch["class"] = torch.tensor([0, 1, 1, 0])
    found = multi.losses(out, batch)
    assert list(found) == list(ROWS)
    for name in ROWS:
        given = (
            own(name, out, {k: v for k, v in batch.items() if k != "labelled"}) if partial else (out, batch)
        )
        assert {f"{name}/{term}" for term in found[name]} == set(alone(name).terms)
        for term, value in alone(name).loss(*given).items():
            assert torch.equal(found[name][term], value), (name, term)
    flat = multi.loss(out, batch)
    assert tuple(flat) == multi.terms
    assert torch.equal(flat["segmentation/cross_entropy"], found["segmentation"]["cross_entropy"])


def test_a_task_without_any_label_has_no_loss(
    multi: Task, out: dict[str, torch.Tensor], batch: dict[str, Any]
) -> None:
    batch["labelled"] = HAS | {"depth": [False] * 4}
    assert list(multi.losses(out, batch)) == ["segmentation", "classification"]
    batch["labelled"] = dict.fromkeys(multi.needs, [False] * 4)
    assert multi.losses(out, batch) == {}


def test_a_task_needs_all_its_labels(batch: dict[str, Any]) -> None:
    both = ("depth", "class")
    assert which(both, batch) is None
    assert which(both, batch | {"labelled": HAS}) == [2]


def test_metrics_are_those_of_each_task_alone(
    multi: Task, out: dict[str, torch.Tensor], batch: dict[str, Any]
) -> None:
    metric = multi.metric()
    metric.update(out, of_own_sizes(batch))
    metric.update(
        {k: v[2:3] for k, v in out.items()}, rows_of(batch, [2])
    )  # one more sample, with all labels
    found = metric.compute()
    primaries = {}
    for name in ROWS:
        one = alone(name).metric()
        one.update(*own(name, out, batch))
        one.update({k: v[2:3] for k, v in out.items()}, rows_of(batch, [2]))
        for key, value in one.compute().items():
            assert found.pop(key) == pytest.approx(value, nan_ok=True), (name, key)
        primaries[name] = one.compute()[alone(name).primary]
        for field, table in one.confusions().items():
            assert metric.confusions()[field] == table
    scores = primaries["segmentation"], max(0, 100 - primaries["depth"]), primaries["classification"]
    assert found == {"score": pytest.approx(sum(scores) / 3)}
    assert metric.confusions().keys() == {"segmentation", "class"}


# --------------------------------------------------------------------------------------------------- for people


def test_answers_stand_side_by_side(multi: Task, out: dict[str, torch.Tensor]) -> None:
    sizes = [spanning((16, 12))] * 4
    found = multi.decode(out, sizes)
    for name in ROWS:
        for ours, theirs in zip(found, alone(name).decode(out, sizes), strict=True):
            assert ours.values[name] == theirs.values
            assert all(np.array_equal(ours.maps[key], maps) for key, maps in theirs.maps.items())
    assert found[0].maps.keys() == {"segmentation", "depth"}
    caption = multi.view.caption(found[0])
    assert [text.split(":")[0] for text in caption.split("; ")] == list(ROWS)
    files = multi.view.files(found[0])
    assert {name: content.dtype for name, content in files.items()} == {
        "segmentation.png": np.uint8,
        "depth.png": np.uint16,
    }


@pytest.mark.parametrize("own_sizes", [False, True])
def test_labels_are_those_that_a_sample_has(
    multi: Task, out: dict[str, torch.Tensor], batch: dict[str, Any], own_sizes: bool
) -> None:
    batch = of_own_sizes(batch) if own_sizes else batch | {"labelled": HAS}
    truth = multi.ground_truth(batch)
    held = [list(found.values) for found in truth]
    assert held == [
        ["segmentation", "depth"], ["segmentation"], list(ROWS), ["segmentation", "classification"]
    ]  # fmt: skip
    assert truth[2].values["classification"] == {"class": "night"}
    assert np.array_equal(truth[2].maps["depth"], np.asarray(batch["depth"][2]))
    assert "depth" not in truth[1].maps
    assert [multi.view.caption(found).count(";") for found in truth] == [1, 0, 2, 1]
    right = [
        multi.view.is_right(found, label)
        for found, label in zip(multi.decode(out, [spanning((8, 8))] * 4), truth, strict=True)
    ]
    classes = out["class"].argmax(1).tolist()
    assert right == [None, None, classes[2] == 1, classes[3] == 0]


def test_fewer_samples_keep_their_word_on_labels(multi: Task, batch: dict[str, Any]) -> None:
    """The report draws the first samples of a batch: what is missing there must not become a label."""
    some = rows_of(of_own_sizes(batch), range(1, 3))
    assert some["labelled"] == {"depth": [False, True], "class": [False, True]}
    assert some["name"] == ["b", "c"]
    assert [list(found.values) for found in multi.ground_truth(some)] == [["segmentation"], list(ROWS)]


def test_pictures_stand_below_each_other(
    multi: Task, out: dict[str, torch.Tensor], batch: dict[str, Any]
) -> None:
    image = np.full((8, 8, 3), 90, np.uint8)
    found = multi.decode(out, [spanning((8, 8))] * 4)
    for label in (None, *multi.ground_truth(batch | {"labelled": HAS})):
        drawn = multi.view.draw(image, found[0], label)
        single = {}
        for name in ROWS:
            theirs = label.parts.get(name) if label else None
            picture = alone(name).view.draw(legible(image), found[0].parts[name], theirs)
            beside = label and not theirs and alone(name).maps  # others have a row of pictures
            single[name] = row({"image": legible(image), "prediction": picture}) if beside else picture
        assert np.array_equal(drawn, column(single))
        assert drawn.dtype == np.uint8


def test_each_task_prepares_itself() -> None:
    from tests.data.test_concat import flat

    with_balance = Parts(task, (task.segmentation(class_balance="inverse_log"), task.depth()))
    made = build_task(with_balance, CLASSES)
    assert made.prepare(flat("a", 2, ("segmentation",)).splits["train"]).startswith(
        "class weights of segmentation"
    )
    assert (
        build_task(parts("segmentation+depth"), CLASSES).prepare(flat("a", 2, ("depth",)).splits["train"])
        == ""
    )
