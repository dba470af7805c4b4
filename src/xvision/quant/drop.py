"""What the primary metric of a task loses from the float network to the quantized one, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import fx

from xvision.data.loader import Loader
from xvision.models.inputs import Inputs
from xvision.tasks.contract import Task
from xvision.train.evaluation import metric_over
from xvision.train.forward import forward, to_device


@dataclass(frozen=True)
class Score:
    """The primary metric over all batches, and of each batch alone (NaN: nothing in it is labelled)."""

    value: float
    of_batches: tuple[float, ...]


@dataclass(frozen=True)
class Drop:
    """How far a network is behind another one; below zero it is ahead. None: too few batches to tell its error."""

    value: float
    standard_error: float | None


def score(graph: fx.GraphModule, task: Task, loader: Loader, inputs: Inputs) -> Score:
    """The primary metric of a captured network on all samples of a loader."""
    device = next(graph.parameters()).device
    whole, found = metric_over(task).to(device), []
    with torch.inference_mode():
        for batch in loader.epoch(0):
            batch = to_device(batch, device)
            outputs, alone = forward(graph, batch, inputs), metric_over(task).to(device)
            for metric in (whole, alone):
                metric.update(outputs, batch)
            found.append(alone.compute()[task.primary])
        return Score(whole.compute()[task.primary], tuple(found))


def drop(before: Score, after: Score, larger_is_better: bool) -> Drop:
    """What is lost from one score to the other, on the same batches.

    Both networks see the same images, so what counts are the differences of single batches: the standard error is that
    of their mean. It is None with fewer than two batches.
    """
    sign = 1 if larger_is_better else -1
    pairs = zip(before.of_batches, after.of_batches, strict=True)
    differences = [a - b for a, b in pairs if not math.isnan(a - b)]
    return Drop(sign * (before.value - after.value), standard_error(differences))


def standard_error(values: Sequence[float]) -> float | None:
    """Of the mean of values: their standard deviation over the root of their number.

    >>> standard_error([1.0, 5.0])
    2.0
    """
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values))
