"""A teacher's term beside those of a task, and instead of them."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.train.test_loop import tiny_train
from tests.train.tiny import TinyNet, tiny_loader, tiny_task
from xvision.models.outputs import OutputSpec
from xvision.tasks import task as tasks
from xvision.tasks.contract import Task
from xvision.tasks.distance import distance, divergence
from xvision.tasks.multi import build_task
from xvision.train.distillation import Distilled
from xvision.train.forward import forward


def test_divergence_by_hand() -> None:
    """Of shares (1/2, 1/2) from (3/4, 1/4): 3/4 ln 3/2 + 1/4 ln 1/2; of equal scores 0."""
    ours = torch.zeros(2, 2, 3)
    theirs = torch.tensor([3.0, 1.0]).log().reshape(1, 2, 1).expand(2, 2, 3)
    assert float(divergence(ours, theirs, 1.0)) == pytest.approx(0.75 * math.log(1.5) + 0.25 * math.log(0.5))
    assert float(divergence(theirs + 5, theirs, 1.0)) == pytest.approx(0.0, abs=1e-6)
    hot = float(divergence(2 * ours, 2 * theirs, 2.0))
    assert hot == pytest.approx(4 * float(divergence(ours, theirs, 1.0)))


def test_numbers_are_compared_by_their_difference() -> None:
    spec = OutputSpec("depth", 1, "map")
    ours, theirs = ({"depth": torch.full((1, 1, 2, 2), value)} for value in (1.0, -0.5))
    assert float(distance([spec], ours, theirs)) == 1.5


def distilled(task: Task, share: float, teacher: TinyNet | None = None) -> Distilled:
    teacher = teacher or TinyNet()
    return Distilled(task, teacher, teacher.inputs, share)


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_terms_add_up_to_shares_of_both(share: float) -> None:
    teacher, student = TinyNet(), TinyNet().eval()
    with torch.no_grad():
        student.head.weight += 0.1
    task = distilled(tiny_task(), share, teacher)
    batch = next(tiny_loader().epoch(0))
    out = forward(student, batch, student.inputs)
    found = task.losses(out, batch)["classification"]
    plain = tiny_task().losses(out, batch)["classification"]["cross_entropy"]
    wanted = forward(teacher, batch, teacher.inputs)
    assert torch.equal(found["cross_entropy"], plain * (1 - share))
    assert torch.equal(found["distillation"], divergence(out["class"], wanted["class"], 1.0) * share)
    assert not any(p.grad is not None for p in teacher.parameters())
    assert set(task.terms) == {"classification/cross_entropy", "classification/distillation"}
    assert task.loss(out, batch).keys() == set(task.terms)


def test_a_part_without_labels_learns_from_the_teacher() -> None:
    classes = {"segmentation": ("a", "b")}
    both = build_task(tasks.parts("segmentation+depth"), classes)

    class Maps(torch.nn.Module):
        def forward(self, image: Tensor) -> dict[str, Tensor]:
            x = image.float()
            return {"segmentation": x[:, :2], "depth": x[:, :1]}

    task = Distilled(both, Maps(), TinyNet().inputs, 0.5)
    batch = {
        "image": torch.zeros(2, 3, 4, 4, dtype=torch.uint8),
        "segmentation": torch.zeros(2, 4, 4, dtype=torch.long),
        "depth": torch.zeros(2, 4, 4),
        "labelled": {"depth": [False, False]},
        "name": ["one", "two"],
    }
    out = {"segmentation": torch.zeros(2, 2, 4, 4), "depth": torch.ones(2, 1, 4, 4)}
    losses = task.losses(out, batch)
    assert {part: set(terms) for part, terms in losses.items()} == {
        "segmentation": {"cross_entropy", "distillation"},
        "depth": {"distillation"},
    }
    assert float(losses["depth"]["distillation"]) == 0.5


def test_the_loop_learns_what_a_teacher_knows_without_a_label(tmp_path: Path) -> None:
    teacher = TinyNet()
    tiny_train(tmp_path / "teacher", model=teacher, epochs=6)
    student = TinyNet()
    trained = tiny_train(
        tmp_path / "student",
        model=student,
        task=distilled(tiny_task(), 1.0, copy.deepcopy(teacher)),
        epochs=12,
    )
    assert trained.best["classification/top1"] > 90
    (line, *_) = map(json.loads, (tmp_path / "student/metrics.jsonl").read_text().splitlines())
    assert line["terms"]["classification/cross_entropy"] == 0.0
    assert line["loss"] == pytest.approx(line["terms"]["classification/distillation"])


def test_it_measures_and_shows_what_the_task_does() -> None:
    plain = tiny_task()
    task = distilled(plain, 0.5)
    assert (task.primary, task.metric_specs, task.classes) == (
        plain.primary,
        plain.metric_specs,
        plain.classes,
    )
    assert [part.name for part in task.parts] == ["classification"]
