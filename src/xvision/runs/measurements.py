"""Measurements of a run: rows that say which network, computed by what, reached which figure on which samples.

A further executor, format or target is further rows; who reads them names none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, ConfigDict


class Measurement(BaseModel):
    """One figure."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str
    """What was measured: the trained network, or one made from it."""
    executor: str
    """What computed it."""
    split: str
    metric: str
    """`task/metric`."""
    value: float | None
    """None where the metric is undefined."""
    unit: str
    version: str = ""
    """Of what computed it: under another one the figure is stale."""


class Confusion(BaseModel):
    """How often each class was taken for each other one: rows are labels, columns predictions."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str
    executor: str
    split: str
    field: str
    table: tuple[tuple[int, ...], ...]


Column = tuple[str, str]
"""What is measured together: a network and its executor."""


class Measurements(BaseModel):
    """evaluation.json: the classes that the network knows by label field, and all that was measured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    classes: dict[str, tuple[str, ...]] = {}
    measurements: tuple[Measurement, ...] = ()
    confusions: tuple[Confusion, ...] = ()

    @property
    def columns(self) -> tuple[Column, ...]:
        """What was measured, in the order of measuring."""
        return columns(self.measurements)

    def version(self, column: Column) -> str | None:
        """What a column was computed with; None if it was not measured."""
        found = [row.version for row in self.measurements if (row.network, row.executor) == column]
        return found[0] if found else None

    def without(self, dropped: Iterable[Column]) -> Measurements:
        """All but some columns; without any row there are no classes either."""
        gone = set(dropped)
        rows = tuple(row for row in self.measurements if (row.network, row.executor) not in gone)
        tables = tuple(row for row in self.confusions if (row.network, row.executor) not in gone)
        return Measurements(classes=self.classes if rows else {}, measurements=rows, confusions=tables)

    def joined(self, other: Measurements) -> Measurements:
        """Both, network by network; of a column in both the other one's, in its place here."""
        kept = self.without(other.columns)
        both = list(dict.fromkeys((*self.columns, *other.columns)))
        networks = list(dict.fromkeys(network for network, _ in both))
        order = {column: (networks.index(column[0]), i) for i, column in enumerate(both)}

        def place(row: Measurement | Confusion) -> tuple[int, int]:
            return order[row.network, row.executor]

        return Measurements(
            classes=other.classes or kept.classes,
            measurements=tuple(sorted((*kept.measurements, *other.measurements), key=place)),
            confusions=tuple(sorted((*kept.confusions, *other.confusions), key=place)),
        )


def columns(rows: Iterable[Measurement]) -> tuple[Column, ...]:
    """The networks and executors of rows, in their order."""
    return tuple(dict.fromkeys((row.network, row.executor) for row in rows))


def by_column(rows: Sequence[Measurement]) -> dict[Column, dict[str, float | None]]:
    """Figures by what was measured, then by metric.

    >>> row = Measurement(network="a", executor="b", split="val", metric="depth/abs_rel", value=9.0, unit="%")
    >>> by_column([row])
    {('a', 'b'): {'depth/abs_rel': 9.0}}
    """
    return {
        column: {row.metric: row.value for row in rows if (row.network, row.executor) == column}
        for column in columns(rows)
    }
