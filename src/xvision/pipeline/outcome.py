"""What a run has reached, for who called the command: one object, or lines on the console."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xvision.console import Console
from xvision.report.quantizations import quant_text
from xvision.runs.files import quantized
from xvision.runs.measurements import Measurement, by_column
from xvision.runs.record import OperatorRow, ParityRow, Quantization
from xvision.runs.run import Run


def outcome(run: Run) -> dict[str, Any]:
    """Plain values: the run, warnings, figures and files."""
    about = {"folder": str(run.folder), "recipe": run.recipe.name, "recipe_id": run.recipe.id}
    metrics = [row.model_dump() for row in run.files.evaluation.measurements]
    quantizations = {name: plain.quant for name, plain in _quantizations(run).items()}
    made = {"quantizations": quantizations, **run.files.results(), "exported": run.files.exported()}
    return about | {"warnings": _warnings(run), "metrics": metrics, **made}


def tell(run: Run, console: Console) -> None:
    """Figures, what is proved of each file, where the files are, and again the warnings, which stood far above."""
    print_metrics(console, run.files.evaluation.measurements)
    for name, made in _quantizations(run).items():
        console.print(f"{name}  {quant_text(made.quant)}")
    for line in dict.fromkeys(line for parity in run.files.parity for line in _proved(parity)):  # each once
        console.print(line)
    for name, file in run.files.results().items():
        console.print(f"{name}  {file}")
    for network, files in run.files.exported().items():
        for file in files.values():
            console.print(f"{network}  {file}")
    for line in _warnings(run):
        console.warn(line)


def _quantizations(run: Run) -> Mapping[str, Quantization]:
    """Those that the record knows, by name."""
    record = run.files.record
    return record.quantization if record else {}


def _warnings(run: Run) -> list[str]:
    made = _quantizations(run)
    lines = [f"{name}: {line}" for name, one in made.items() for line in one.warnings]
    return [*run.warnings, *lines, *(line for one in made.values() for line in one.losses)]


def _proved(parity: ParityRow) -> Iterator[str]:
    """How far a file is from its network, and what else to know of it."""
    off = f"{parity.max_lsb} LSB"
    allowed = f"{parity.tolerance_lsb} LSB allowed, {parity.version}"
    if parity.max_error:  # of outputs without integer codes
        off = f"{off} and {parity.max_error:.1e}" if parity.max_lsb else f"{parity.max_error:.1e}"
        off, allowed = f"{off} of the largest value", parity.version
    between = f"between {parity.reference} and {parity.executor} of {parity.network}"
    if parity.operators is not None:
        allowed = f"{parity.operators.tolerance_lsb} LSB allowed, {parity.version}"
        yield f"parity  {_alone(parity.operators)} {between} ({allowed})"
        yield f"        end to end {off}, {parity.agreement:.1%} equal answers, since {'; '.join(parity.reasons)}"
    else:
        yield f"parity  {off} {between} ({allowed})"
    if parity.sqnr_db and parity.file != quantized(parity.network):
        noise = ", ".join(f"{name} {db:.1f} dB" for name, db in parity.sqnr_db.items())
        yield f"        signal over quantization noise: {noise}"
    if parity.float_operators:
        yield f"        in float between integers: {', '.join(parity.float_operators)}"
    if parity.float_in_runtime:
        yield f"        in float in {parity.executor}: {parity.float_in_runtime}"


def _alone(operators: OperatorRow) -> str:
    """How far operators are off by themselves."""
    floats = f" ({operators.float_lsb} where floats are rounded)" if operators.float_lsb else ""
    differing = f"{operators.differing} of {operators.codes} codes differ,"
    return f"{operators.max_lsb} LSB{floats} in each operator alone, {differing}"


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
