"""What was measured as a table: a column for each network and executor, a line for each metric."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from xvision.report import numbers
from xvision.runs.measurements import Column, Measurement, by_column


@dataclass(frozen=True)
class Cell:
    """A figure, and how far it is from the first column's."""

    text: str
    change: str


@dataclass(frozen=True)
class Line:
    """A metric in every column."""

    label: str
    cells: list[Cell]
    is_primary: bool


@dataclass(frozen=True)
class Table:
    """The measurements on one split; `label` says what a metric is called."""

    split: str
    rows: Sequence[Measurement]
    primary: str | None
    label: Callable[[str], str]

    @cached_property
    def figures(self) -> dict[Column, dict[str, float | None]]:
        return by_column(self.rows)

    @property
    def columns(self) -> list[Column]:
        return list(self.figures)

    def version(self, column: Column) -> str:
        """What a column was computed with."""
        return next(row.version for row in self.rows if (row.network, row.executor) == column)

    @property
    def networks(self) -> list[Column]:
        """The first column of each network: further executors of it repeat it."""
        first: dict[str, Column] = {}
        for column in self.columns:
            first.setdefault(column[0], column)
        return list(first.values())

    @property
    def lines(self) -> list[Line]:
        """The primary metric first."""
        return self._lines(self.columns)

    @property
    def lines_of_networks(self) -> list[Line]:
        """The same with a cell for each of `networks`."""
        return self._lines(self.networks)

    def _lines(self, columns: Sequence[Column]) -> list[Line]:
        names = dict.fromkeys(row.metric for row in self.rows)
        ordered = sorted(names, key=lambda name: name != self.primary)
        return [
            Line(self.label(name), [self.cell(column, name) for column in columns], name == self.primary)
            for name in ordered
        ]

    def cell(self, column: Column, name: str) -> Cell:
        first = self.columns[0]
        before, after = (self.figures[one].get(name) for one in (first, column))
        missing = "undefined" if name in self.figures[column] else numbers.value(None)
        text = missing if after is None else numbers.value(after)
        return Cell(text, "" if column == first else numbers.delta(before, after))


def tables(rows: Sequence[Measurement], primary: str | None, label: Callable[[str], str]) -> list[Table]:
    """A table for each split, in the order of measuring."""
    splits = dict.fromkeys(row.split for row in rows)
    return [Table(split, [row for row in rows if row.split == split], primary, label) for split in splits]
