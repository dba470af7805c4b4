"""What a run has reached, for who called the command: one object, or lines on the console."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from xvision.console import Console
from xvision.runs.measurements import Measurement, by_column
from xvision.runs.record import ParityRow
from xvision.runs.run import INT8, Run


def outcome(run: Run) -> dict[str, Any]:
    """Plain values: the run, warnings, figures and files."""
    about = {"folder": str(run.folder), "recipe": run.recipe.name, "recipe_id": run.recipe.id}
    metrics = [row.model_dump() for row in run.files.evaluation.measurements]
    return about | {"warnings": _warnings(run), "metrics": metrics, **run.files.results()}


def tell(run: Run, console: Console) -> None:
    """Figures, what is proved of each file, where the files are, and again the warnings, which stood far above."""
    print_metrics(console, run.files.evaluation.measurements)
    parities = run.files.parity
    if parities and (exceptions := run.recipe.quant.scheme.build().exceptions):
        console.print(f"{INT8}  {exceptions}")
    for parity in parities:
        for line in _proved(parity):
            console.print(line)
    for name, file in run.files.results().items():
        console.print(f"{name}  {file}")
    for line in _warnings(run):
        console.warn(line)


def _warnings(run: Run) -> list[str]:
    record = run.files.record
    losses = record.quantization.losses if record and record.quantization else ()
    return [*run.warnings, *losses]


def _proved(parity: ParityRow) -> Iterator[str]:
    """How far a file is from its network, and what else to know of it."""
    off = f"{parity.max_lsb} LSB"
    allowed = f"{parity.tolerance_lsb} LSB allowed, {parity.version}"
    if parity.max_error:  # of outputs without integer codes
        off = f"{off} and {parity.max_error:.1e}" if parity.max_lsb else f"{parity.max_error:.1e}"
        off, allowed = f"{off} of the largest value", parity.version
    yield f"parity  {off} between {parity.reference} and {parity.executor} ({allowed})"
    if parity.sqnr_db:
        noise = ", ".join(f"{name} {db:.1f} dB" for name, db in parity.sqnr_db.items())
        yield f"        signal over quantization noise: {noise}"
    if parity.float_operators:
        yield f"        in float between integers: {', '.join(parity.float_operators)}"
    if parity.float_in_runtime:
        yield f"        in float in {parity.executor}: {parity.float_in_runtime}"


def print_metrics(console: Console, rows: Sequence[Measurement]) -> None:
    """A table with a row for each metric, and a column for each network and what computed it."""
    found = by_column(rows)
    if not found:
        return
    units = {row.metric: row.unit for row in rows}
    values = [
        [f"{v:.2f}" if (v := f.get(name)) is not None else "–" for f in found.values()] for name in units
    ]
    lines = [[name, *texts, unit] for (name, unit), texts in zip(units.items(), values, strict=True)]
    console.table([["", *(network for network, _ in found), ""], ["", *(by for _, by in found), ""], *lines])
