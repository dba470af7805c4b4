"""What tests read of finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xvision.runs.measurements import Column, Measurement, by_column
from xvision.runs.record import Record

INT8: Column = ("int8", "simulation")
FILE: Column = ("int8", "onnxruntime")
FLOAT: Column = ("float", "pytorch")

Figures = dict[Column, dict[str, float | None]]


def figures(record: Record) -> Figures:
    return by_column(record.metrics)


def of_json(plain: dict[str, Any]) -> Figures:
    """The metrics of what a command prints with --json."""
    return by_column([Measurement(**row) for row in plain["metrics"]])


def everything(out: Path) -> dict[str, bytes]:
    """What lies in a run, but for the lock."""
    return {
        f.relative_to(out).as_posix(): f.read_bytes()
        for f in sorted(out.rglob("*"))
        if f.is_file() and f.name != ".lock"
    }
