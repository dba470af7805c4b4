"""Measurements: what a script of benchmarks/ found, with the command and the machine, for tables never typed."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from xvision.runs.environment import environment
from xvision.runs.record import JsonFile, Machine


class Measurement(JsonFile):
    """The rows of one table, each a mapping from column to value, and with what they were made."""

    command: str
    made: str
    rows: tuple[dict[str, float | str], ...]
    commit: str
    dirty: bool
    versions: dict[str, str]
    machine: Machine


def measured(rows: Sequence[Mapping[str, float | str]]) -> Measurement:
    """The rows that the script of benchmarks/ which runs found just now, by the code and with the words that it has."""
    script, *words = sys.argv
    command = shlex.join(["python", f"benchmarks/{Path(script).name}", *words])
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return Measurement(command=command, made=made, rows=tuple(map(dict, rows)), **environment())
