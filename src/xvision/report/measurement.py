"""Measurements: what a script of benchmarks/ found, with the command and the machine, for tables never typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from xvision.report.record import JsonFile, Machine, environment


class Measurement(JsonFile):
    """The rows of one table, each a mapping from column to value, and with what they were made."""

    command: str
    made: str
    rows: tuple[dict[str, float | str], ...]
    commit: str
    dirty: bool
    versions: dict[str, str]
    machine: Machine


def measured(command: str, rows: Sequence[Mapping[str, float | str]]) -> Measurement:
    """The rows that `command` found just now, by the code that is at hand."""
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return Measurement(command=command, made=made, rows=tuple(map(dict, rows)), **environment())
