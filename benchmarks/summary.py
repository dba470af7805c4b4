"""Summaries: what a recipe achieved over several seeds, and whether records are still of their recipes.

A `Summary` lies in `results/` and holds every single record. Tables in README and docs are made from these files, never
typed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from xvision.config.messages import explain
from xvision.recipes.schema import Recipe, differing_keys, flatten
from xvision.runs.measurements import Measurement
from xvision.runs.record import JsonFile, Record


def outdated(record: Record, recipe: Recipe) -> dict[str, tuple[Any, Any]]:
    """Why a record is not of a recipe: dotted keys with the value recorded and today's.

    A setting that the record lacks is one that came later: it must stand at its default. So a new setting makes no
    record stale, and a changed default does.
    Raises: ValueError if the record holds a setting that is gone.
    """
    try:
        then = Recipe.model_validate(record.recipe)
    except ValidationError as e:
        raise ValueError(f"record of {record.name}: {'; '.join(explain(e))}; make it again") from e
    return differing_keys(then, recipe)


class Statistics(BaseModel):
    """A metric over several seeds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float
    min: float
    max: float
    values: tuple[float, ...]


class SummaryRow(BaseModel):
    """One figure over several seeds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    network: str
    executor: str
    split: str
    metric: str
    unit: str
    statistics: Statistics


class Summary(JsonFile):
    """What a recipe achieved over several seeds: statistics, and every single record in the order of seeds."""

    name: str
    seeds: tuple[int, ...]
    metrics: tuple[SummaryRow, ...]
    records: tuple[Record, ...]


def aggregate(records: Sequence[Record]) -> Summary:
    """Statistics over runs that differ in nothing but the seed.

    Raises ValueError when there is no record, when a seed occurs twice, or when recipes, data or metrics differ.
    """
    if not records:
        raise ValueError("records: expected at least one, got none")
    records = sorted(records, key=lambda r: r.seed)
    first, seeds = records[0], [r.seed for r in records]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"{first.name}: expected every seed once, got {seeds}; leave the repeated runs out")
    problems = [problem for other in records[1:] for problem in _differences(first, other)]
    if problems:
        raise ValueError(
            f"{first.name}: the records are not of one recipe with several seeds:\n  " + "\n  ".join(problems)
        )
    rows = tuple(
        SummaryRow(
            **dict(zip(_KEY, key, strict=True)),
            unit=row.unit,
            statistics=_statistics([value for value in values if value is not None]),
        )
        for key, row in _by_key(first).items()
        if None not in (values := [_by_key(r)[key].value for r in records])
    )
    return Summary(name=first.name, seeds=tuple(seeds), metrics=rows, records=tuple(records))


_KEY = ("network", "executor", "split", "metric")


def _by_key(record: Record) -> dict[tuple[str, ...], Measurement]:
    return {tuple(getattr(row, name) for name in _KEY): row for row in record.metrics}


def _differences(a: Record, b: Record) -> list[str]:
    """Why two records cannot be put together, one line per reason."""
    x, y = (
        flatten({k: v for k, v in r.recipe.items() if k not in ("seed", "expect", "source")}) for r in (a, b)
    )
    pairs = {f"recipe.{k}": (x.get(k), y.get(k)) for k in sorted(x.keys() | y.keys())}
    pairs |= {f"data.{k}": (a.data.get(k), b.data.get(k)) for k in sorted(a.data.keys() | b.data.keys())}
    pairs |= {"metrics": (sorted(_by_key(a)), sorted(_by_key(b)))}
    return [
        f"{k}: {v!r} with seed {a.seed}, {w!r} with seed {b.seed}" for k, (v, w) in pairs.items() if v != w
    ]


def _statistics(values: Sequence[float]) -> Statistics:
    return Statistics(mean=sum(values) / len(values), min=min(values), max=max(values), values=tuple(values))
