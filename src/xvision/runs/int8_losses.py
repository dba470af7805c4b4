"""What a network loses by becoming integers, where that is more than rounding should cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from xvision.runs.measurements import Measurement, by_column

if TYPE_CHECKING:
    from xvision.tasks.contract import Task

POINTS = 1.0  # of a metric in percent that may be lost
SHARE = 0.03  # of any other metric


def int8_losses(rows: Sequence[Measurement], task: Task) -> list[str]:
    """A sentence for each task whose primary metric is worse than that of the first network measured by too much."""
    return list(_losses(rows, task))


def _losses(rows: Sequence[Measurement], task: Task) -> Iterator[str]:
    for split in dict.fromkeys(row.split for row in rows):
        figures = by_column([row for row in rows if row.split == split])
        columns = {
            column[0]: column for column in reversed(list(figures))
        }  # the first executor of each network
        first, *others = reversed(columns.values())
        for column in others:
            for part in task.parts:
                spec = part.spec(part.primary)
                before, after = (figures[one].get(part.primary) for one in (first, column))
                if before is None or after is None:
                    continue
                lost = (before - after) * (1 if spec.larger_is_better else -1)
                if lost > (POINTS if spec.unit == "%" else SHARE * abs(before)):
                    unit = "points" if spec.unit == "%" else spec.unit
                    name = spec.label if len(task.parts) == 1 else f"{part.name}: {spec.label}"
                    yield f"{column[0]} loses {lost:.2f} {unit} of {name} on {split} ({before:.2f} -> {after:.2f})"
