"""Measuring a network with whatever computes it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from xvision.console import Console
from xvision.runs.measurements import Column, Confusion, Measurement, Measurements

if TYPE_CHECKING:
    from xvision.data.loader import Loader
    from xvision.export.contract import Executor
    from xvision.models.inputs import Inputs
    from xvision.tasks.contract import Task


def measure(
    executor: Executor,
    network: str,
    task: Task,
    loader: Loader,
    *,
    inputs: Inputs,
    console: Console,
    split: str = "val",
) -> Measurements:
    """The figures of a network, computed by an executor, on the samples of a loader."""
    from xvision.train.evaluation import evaluate

    found = evaluate(executor, task, loader, console=console, inputs=inputs, device=executor.device)
    column = (network, executor.name)
    return Measurements(
        classes=dict(task.classes),
        measurements=as_rows(column, split, found.metrics, task, executor.version),
        confusions=tuple(
            Confusion(
                network=network,
                executor=executor.name,
                split=split,
                field=field,
                table=tuple(map(tuple, table)),
            )
            for field, table in found.confusions.items()
        ),
    )


def as_rows(
    column: Column, split: str, metrics: Mapping[str, float], task: Task, version: str = ""
) -> tuple[Measurement, ...]:
    """Metrics of a task as rows, with their units."""
    network, executor = column
    return tuple(
        Measurement(
            network=network,
            executor=executor,
            split=split,
            metric=key,
            value=None if math.isnan(value) else value,
            unit=task.spec(key).unit,
            version=version,
        )
        for key, value in metrics.items()
    )
