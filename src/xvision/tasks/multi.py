"""Several tasks in one network: one encoder, the outputs, losses, metrics and pictures of each.

A sample may lack the labels of a task (it comes from a data set without them): each task then learns from, and is
measured on, the samples that have all it needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from xvision.config.parts import Parts
from xvision.data.dataset import Split
from xvision.tasks.contract import Batch, Outputs, Prediction, Size, Task, TaskMetric
from xvision.tasks.missing_labels import labelled, rows_of, which
from xvision.tasks.visualize import Image, column, legible, row


def build_task(parts: Parts, classes: Mapping[str, tuple[str, ...]]) -> Task:
    """The task that a recipe names, or its several ones as one, for data with these classes.

    Raises: ValueError for settings that do not fit, and for two tasks with the same output.
    """
    tasks: list[Task] = [part.build(classes) for part in parts]
    if len(tasks) == 1:
        return tasks[0]
    owners: dict[str, str] = {}
    for task in tasks:
        for output in task.outputs:
            if owners.setdefault(output, task.name) != task.name:
                raise ValueError(
                    f"task: {owners[output]} and {task.name} both give the output '{output}'; leave one out"
                )
    return MultiTask(tasks)


class MultiTask(Task):
    """Tasks side by side; names of metrics and loss terms begin with their task's, as ``depth.abs_rel``.

    Checkpoints are compared by `score`: the mean over tasks of the primary metric, or of 100 minus it where smaller
    is better (0 at least); in percent.
    """

    primary = "score"

    def __init__(self, tasks: Sequence[Task]) -> None:
        self.tasks = tuple(tasks)
        self.name = "+".join(task.name for task in tasks)
        self.needs = tuple(dict.fromkeys(chain.from_iterable(task.needs for task in tasks)))
        self.outputs = {name: channels for task in tasks for name, channels in task.outputs.items()}
        self.classes = {field: names for task in tasks for field, names in task.classes.items()}
        self.class_maps = tuple(chain.from_iterable(task.class_maps for task in tasks))
        self.terms = tuple(f"{task.name}.{term}" for task in tasks for term in task.terms)

    @property
    def parts(self) -> tuple[Task, ...]:
        return self.tasks

    def advice(self, inputs: Sequence[str]) -> list[str]:
        return [line for task in self.tasks for line in task.advice(inputs)]

    def prepare(self, train: Split) -> str:
        return "; ".join(line for task in self.tasks if (line := task.prepare(train)))

    def losses(self, out: Outputs, batch: Batch) -> dict[str, dict[str, Tensor]]:
        found = {}
        for task in self.tasks:
            own = labelled(task, out, batch)
            if own is not None:
                found[task.name] = task.loss(*own)
        return found

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        """The terms of the tasks that have labels in this batch."""
        return {
            f"{name}.{term}": value
            for name, terms in self.losses(out, batch).items()
            for term, value in terms.items()
        }

    def metric(self) -> TaskMetric:
        return MultiTaskMetric(self.tasks)

    def decode(self, out: Outputs, sizes: Sequence[Size]) -> list[Prediction]:
        """What each task finds: its values under its name, its maps under theirs."""
        return self._side_by_side([task.decode(out, sizes) for task in self.tasks])

    def ground_truth(self, batch: Batch) -> list[Prediction]:
        """Labels; a task without labels for a sample has no entry there."""
        rows: list[list[Prediction | None]] = []
        for task in self.tasks:
            has = which(task, batch)
            held = iter(task.ground_truth(batch if has is None else rows_of(batch, has)) if has != [] else ())
            count = len(batch["name"])
            rows.append([next(held) if has is None or i in has else None for i in range(count)])
        return self._side_by_side(rows)

    def _side_by_side(self, found: Sequence[Sequence[Prediction | None]]) -> list[Prediction]:
        return [
            Prediction(
                {task.name: f.values for task, f in zip(self.tasks, of_one, strict=True) if f},
                {field: values for f in of_one if f for field, values in f.maps.items()},
            )
            for of_one in zip(*found, strict=True)
        ]

    def _parts_of(self, found: Prediction) -> dict[str, Prediction]:
        return {
            task.name: Prediction(
                found.values[task.name],
                {name: found.maps[name] for name in task.outputs if name in found.maps},
            )
            for task in self.tasks
            if task.name in found.values
        }

    def caption(self, found: Prediction) -> str:
        parts = self._parts_of(found)
        return "; ".join(f"{t.name}: {t.caption(parts[t.name])}" for t in self.tasks if t.name in parts)

    def is_right(self, found: Prediction, label: Prediction) -> bool | None:
        """Whether every task that knows right and wrong is right."""
        ours, theirs = self._parts_of(found), self._parts_of(label)
        answers = [t.is_right(ours[t.name], theirs[t.name]) for t in self.tasks if t.name in theirs]
        known = [answer for answer in answers if answer is not None]
        return all(known) if known else None

    def draw(self, image: Image, found: Prediction, label: Prediction | None = None) -> Image:
        """The pictures of the tasks, one below the other; with labels, maps of a task without beside the image."""
        ours, theirs = self._parts_of(found), self._parts_of(label) if label else {}
        panes = {}
        for task in self.tasks:
            picture = task.draw(legible(image), ours[task.name], theirs.get(task.name))
            alone = bool(task.maps) and label is not None and task.name not in theirs
            panes[task.name] = row({"image": legible(image), "prediction": picture}) if alone else picture
        return column(panes)

    def files(self, found: Prediction) -> dict[str, np.ndarray[Any, Any]]:
        ours = self._parts_of(found)
        return {ending: content for t in self.tasks for ending, content in t.files(ours[t.name]).items()}

    @property
    def file_endings(self) -> tuple[str, ...]:
        return tuple(chain.from_iterable(task.file_endings for task in self.tasks))

    def read(self, files: Mapping[str, Path]) -> Outputs:
        """The outputs of the tasks whose files are there."""
        there = [t for t in self.tasks if t.file_endings and set(t.file_endings) <= files.keys()]
        return {key: value for task in there for key, value in task.read(files).items()}


class MultiTaskMetric(TaskMetric):
    """The metrics of each task, and `score`."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        super().__init__()
        self.tasks = tuple(tasks)
        self.metrics = nn.ModuleDict({task.name: task.metric() for task in tasks})

    def _of(self, task: Task) -> TaskMetric:
        metric = self.metrics[task.name]
        assert isinstance(metric, TaskMetric)
        return metric

    def update(self, out: Outputs, batch: Batch) -> None:
        for task in self.tasks:
            own = labelled(task, out, batch)
            if own is not None:
                self._of(task).update(*own)

    def compute(self) -> dict[str, float]:
        found: dict[str, float] = {}
        scores = []
        for task in self.tasks:
            values = self._of(task).compute()
            found |= {f"{task.name}.{name}": value for name, value in values.items()}
            primary = values[task.primary]
            scores.append(primary if task.larger_is_better else max(0.0, 100 - primary))
        return {"score": sum(scores) / len(scores), **found}

    def confusions(self) -> dict[str, list[list[int]]]:
        return {field: table for task in self.tasks for field, table in self._of(task).confusions().items()}
