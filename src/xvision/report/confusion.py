"""Confusion matrices of one label, and what they say of its classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from xvision.report import plots
from xvision.runs.measurements import Confusion

MAX_BARS = 40  # classes beside each other
MOST_CONFUSED = 8

Counts = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Confusions:
    """The matrices of one label field by network."""

    field: str
    classes: Sequence[str]
    tables: Mapping[str, Counts]

    @cached_property
    def matrices(self) -> list[str]:
        return [
            plots.confusion(table, self.classes, i, f"{network}: label against prediction", self.field)
            for i, (network, table) in enumerate(self.tables.items())
        ]

    @cached_property
    def per_class(self) -> str:
        """Bars of the share found per class; of the worst classes when there are many."""
        found = {
            network: [100 * row[i] / max(1, sum(row)) for i, row in enumerate(table)]
            for network, table in self.tables.items()
        }
        last = next(reversed(found.values()))
        shown = sorted(range(len(last)), key=last.__getitem__)[:MAX_BARS]
        if shorter := len(last) <= MAX_BARS:
            shown.sort()
        return plots.per_class(
            {network: [values[i] for i in shown] for network, values in found.items()},
            [self.classes[i] for i in shown],
            "Share found per class" + ("" if shorter else f", the {MAX_BARS} worst of {len(last)}"),
        )

    @cached_property
    def confused(self) -> list[tuple[str, str, list[int]]]:
        """The pairs of classes confused most: label, prediction, how often by each network."""
        tables = list(self.tables.values())
        side = range(len(self.classes))
        pairs = [(sum(t[i][j] for t in tables), i, j) for i in side for j in side if i != j]
        worst = sorted((p for p in pairs if p[0]), key=lambda p: (-p[0], p[1:]))[:MOST_CONFUSED]
        return [(self.classes[i], self.classes[j], [t[i][j] for t in tables]) for _, i, j in worst]


def confusions(rows: Sequence[Confusion], classes: Mapping[str, Sequence[str]]) -> list[Confusions]:
    """One for each label that is classes. Of the executors of a network the first: the others compute the same.

    Raises: ValueError for a table that is not one row and column a class.
    """
    tables: dict[str, dict[str, Counts]] = {}
    for row in rows:
        side = len(classes.get(row.field, ()))
        if len(row.table) != side or any(len(counts) != side for counts in row.table):
            raise ValueError(
                f"confusions of {row.network} ({row.executor}), {row.field}: expected {side} rows and columns, one a "
                f"class, got {len(row.table)} x {len(row.table[0]) if row.table else 0}; run `xvision val` again"
            )
        tables.setdefault(row.field, {}).setdefault(row.network, row.table)
    return [Confusions(field, classes[field], of_field) for field, of_field in tables.items()]
