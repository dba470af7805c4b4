"""Several tasks in one network: one encoder, the outputs, losses, metrics and pictures of each.

A sample may lack the labels of a task (it comes from a data set without them): each task then learns from, and is
measured on, the samples that have all it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from xvision.config.parts import Parts
from xvision.data.dataset import Split
from xvision.data.framing import Inverse
from xvision.models.outputs import tensor_names
from xvision.tasks.contract import Task
from xvision.tasks.metrics.contract import Batch, Outputs, TaskMetric
from xvision.tasks.metrics.keyed import KeyedMetric
from xvision.tasks.metrics.spec import MetricSpec
from xvision.tasks.missing_labels import labelled, rows_of, which
from xvision.tasks.view import Prediction, View
from xvision.tasks.visualize import Image, column, legible, row

SCORE = MetricSpec("score", "score", "%", primary=True)
"""The mean over tasks of the primary metric, or of 100 minus it where smaller is better (0 at least)."""


def build_task(parts: Parts, classes: Mapping[str, tuple[str, ...]]) -> Task:
    """The task that a recipe names, or its several ones as one, for data with these classes.

    Raises: ValueError for settings that do not fit, and for two tasks with the same output.
    """
    tasks: list[Task] = [part.build(classes) for part in parts]
    if len(tasks) == 1:
        return tasks[0]
    owners: dict[str, str] = {}
    for task in tasks:
        for name in tensor_names(task.outputs):
            if owners.setdefault(name, task.name) != task.name:
                raise ValueError(
                    f"task: {owners[name]} and {task.name} both give the output '{name}'; leave one out"
                )
    return MultiTask(tasks)


class MultiTask(Task):
    """Tasks side by side; checkpoints are compared by their `SCORE`."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tuple(tasks)
        self.name = "+".join(task.name for task in tasks)
        self.needs = tuple(dict.fromkeys(chain.from_iterable(task.needs for task in tasks)))
        self.outputs = tuple(chain.from_iterable(task.outputs for task in tasks))
        self.classes = {field: names for task in tasks for field, names in task.classes.items()}
        self.class_maps = tuple(chain.from_iterable(task.class_maps for task in tasks))
        self.view = MultiView(self.tasks)

    @property
    def parts(self) -> tuple[Task, ...]:
        return self.tasks

    @property
    def metric_specs(self) -> tuple[MetricSpec, ...]:
        """`SCORE`, and the metrics of each task, whose label begins with the task's name."""
        return (
            SCORE,
            *(
                replace(spec, label=f"{task.name}: {spec.label}", primary=False)
                for task in self.tasks
                for spec in task.metric_specs
            ),
        )

    def advice(self, inputs: Sequence[str]) -> list[str]:
        return [line for task in self.tasks for line in task.advice(inputs)]

    def prepare(self, train: Split) -> str:
        return "; ".join(line for task in self.tasks if (line := task.prepare(train)))

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms of the tasks that have labels in this batch, as ``task/term``."""
        terms = self.losses(out, batch).items()
        return {f"{task}/{term}": value for task, own in terms for term, value in own.items()}

    def losses(self, out: Outputs, batch: Batch) -> dict[str, dict[str, Tensor]]:
        found = {}
        for task in self.tasks:
            own = labelled(task.needs, tensor_names(task.outputs), out, batch)
            if own is not None:
                found[task.name] = task.loss(*own)
        return found

    def own_metric(self) -> TaskMetric:
        return self.metric()

    def metric(self) -> TaskMetric:
        return ScoredMetric(self.tasks)

    def decode(self, out: Outputs, inverses: Sequence[Inverse]) -> list[Prediction]:
        """What each task finds: its values under its name, its maps under theirs."""
        return self._side_by_side([task.decode(out, inverses) for task in self.tasks])

    def ground_truth(self, batch: Batch) -> list[Prediction]:
        """Labels; a task without labels for a sample has no entry there."""
        rows: list[list[Prediction | None]] = []
        for task in self.tasks:
            has = which(task.needs, batch)
            held = iter(task.ground_truth(batch if has is None else rows_of(batch, has)) if has != [] else ())
            count = len(batch["name"])
            rows.append([next(held) if has is None or i in has else None for i in range(count)])
        return self._side_by_side(rows)

    def _side_by_side(self, found: Sequence[Sequence[Prediction | None]]) -> list[Prediction]:
        return [
            _joined({task.name: one for task, one in zip(self.tasks, of_image, strict=True) if one})
            for of_image in zip(*found, strict=True)
        ]


def _joined(parts: dict[str, Prediction]) -> Prediction:
    maps = {name: values for part in parts.values() for name, values in part.maps.items()}
    return Prediction({name: part.values for name, part in parts.items()}, maps, parts)


class MultiView(View):
    """The views of several tasks, one below the other."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.views = {task.name: task.view for task in tasks}
        self.with_maps = {task.name for task in tasks if task.maps}

    def caption(self, prediction: Prediction) -> str:
        parts = prediction.parts
        return "; ".join(
            f"{name}: {view.caption(parts[name])}" for name, view in self.views.items() if name in parts
        )

    def is_right(self, prediction: Prediction, ground_truth: Prediction) -> bool | None:
        """Whether every task that knows right and wrong is right."""
        ours, theirs = prediction.parts, ground_truth.parts
        answers = [
            view.is_right(ours[name], theirs[name]) for name, view in self.views.items() if name in theirs
        ]
        known = [answer for answer in answers if answer is not None]
        return all(known) if known else None

    def draw(self, image: Image, prediction: Prediction, ground_truth: Prediction | None = None) -> Image:
        """The pictures of the tasks; with labels, maps of a task that has none here beside the image."""
        labels = ground_truth.parts if ground_truth else {}
        pictures = {}
        for name, view in self.views.items():
            picture = view.draw(legible(image), prediction.parts[name], labels.get(name))
            alone = name in self.with_maps and ground_truth is not None and name not in labels
            pictures[name] = row({"image": legible(image), "prediction": picture}) if alone else picture
        return column(pictures)

    def files(self, prediction: Prediction) -> dict[str, np.ndarray[Any, Any]]:
        parts = prediction.parts
        return {
            ending: content
            for name, view in self.views.items()
            for ending, content in view.files(parts[name]).items()
        }

    @property
    def file_endings(self) -> tuple[str, ...]:
        return tuple(chain.from_iterable(view.file_endings for view in self.views.values()))

    def read(self, files: Mapping[str, Path]) -> Outputs:
        """The outputs of the tasks whose files are there."""
        there = [v for v in self.views.values() if v.file_endings and set(v.file_endings) <= files.keys()]
        return {key: value for view in there for key, value in view.read(files).items()}


class ScoredMetric(KeyedMetric):
    """The metrics of each task, and `SCORE`."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        super().__init__(
            {task.name: task.own_metric() for task in tasks},
            {task.name: (task.needs, tensor_names(task.outputs)) for task in tasks},
        )
        self.primaries = [task.spec(task.primary) for task in tasks]

    def compute(self) -> dict[str, float]:
        values = super().compute()
        scores = [
            values[spec.name] if spec.larger_is_better else max(0.0, 100 - values[spec.name])
            for spec in self.primaries
        ]
        return {SCORE.name: sum(scores) / len(scores), **values}
