"""What a network loses by becoming integers, where that is more than rounding should cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from xvision.runs.measurements import Column, Measurement, by_column

if TYPE_CHECKING:
    from xvision.tasks.contract import Task

POINTS = 1.0  # of an accuracy in percent that may be lost
SHARE = 0.03  # of any other metric, such as an error


def int8_losses(rows: Sequence[Measurement], task: Task, network: str) -> Iterator[str]:
    """A sentence for each task whose primary metric a network has too far behind the float one, the first of all."""
    for split in dict.fromkeys(row.split for row in rows):
        figures = by_column([row for row in rows if row.split == split])
        networks: dict[str, Column] = {}
        for column in figures:
            networks.setdefault(column[0], column)  # what the first executor measured
        if network not in networks:
            continue
        first = next(iter(networks.values()))
        for part in task.parts:
            before, after = (figures[one].get(part.primary) for one in (first, networks[network]))
            if before is not None and after is not None:
                yield from _loss(part, len(task.parts) > 1, before, after, f"{network} loses", split)


def _loss(task: Task, several: bool, before: float, after: float, who: str, split: str) -> Iterator[str]:
    spec = task.spec(task.primary)
    lost = (before - after) * (1 if spec.larger_is_better else -1)
    in_points = spec.unit == "%" and spec.larger_is_better
    if lost > (POINTS if in_points else SHARE * abs(before)):
        unit = "points" if spec.unit == "%" else spec.unit
        name = f"{task.name}: {spec.label}" if several else spec.label
        yield f"{who} {lost:.2f} {unit} of {name} on {split} ({before:.2f} -> {after:.2f})"
