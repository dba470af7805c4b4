"""The metrics of one or more tasks as results hold them: ``task/metric``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from xvision.tasks.metrics.contract import Batch, Outputs, TaskMetric
from xvision.tasks.missing_labels import labelled

Reads = tuple[Sequence[str], Sequence[str]]
"""The label fields and the outputs that a metric reads."""


class KeyedMetric(TaskMetric):
    """Each task's own metric, on the samples that have the task's labels; keys begin with the task's name."""

    def __init__(self, metrics: Mapping[str, TaskMetric], reads: Mapping[str, Reads]) -> None:
        super().__init__()
        self.metrics = nn.ModuleDict(metrics)
        self.reads = dict(reads)

    def _all(self) -> dict[str, TaskMetric]:
        return {name: m for name, m in self.metrics.items() if isinstance(m, TaskMetric)}

    def update(self, out: Outputs, batch: Batch) -> None:
        for name, metric in self._all().items():
            own = labelled(*self.reads[name], out, batch)
            if own is not None:
                metric.update(*own)

    def compute(self) -> dict[str, float]:
        return {
            f"{name}/{key}": value
            for name, metric in self._all().items()
            for key, value in metric.compute().items()
        }

    def confusions(self) -> dict[str, list[list[int]]]:
        return {
            field: table for metric in self._all().values() for field, table in metric.confusions().items()
        }
