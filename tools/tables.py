"""Tables of README and docs, made from the code and from records: never typed, so never wrong.

A page marks the place::

    <!-- generated:tasks -->
    <!-- /generated -->

What follows a colon are arguments: ``generated:results:camvid_*:segmentation/miou``.

`python -m tools.tables` rewrites what stands between, in README.md and docs/*.md of the folder it is called
in; with `--check` it only says which pages are stale, and exits 1 if one is.
"""

from __future__ import annotations

import argparse
import os
import re
import runpy
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measurement import Measurement
from benchmarks.summary import Summary, SummaryRow
from tools import networks as network_tables
from tools.scale import Exchange
from xvision.config.messages import nearest
from xvision.config.parts import part_of, parts_of
from xvision.files import write_text
from xvision.quant.schemes import scheme
from xvision.report import numbers
from xvision.report.part_text import part_kind, part_text
from xvision.runs.names import DEFAULT
from xvision.runs.record import Record
from xvision.tasks import task as task_registry
from xvision.tasks.contract import Task
from xvision.tasks.multi import build_task

BLOCK = re.compile(r"(<!-- generated:(\S+) -->\n)(.*?)(<!-- /generated -->)", re.DOTALL)


@dataclass(frozen=True)
class ParityRow:
    """One feature of the original system and where this one stands.

    `state` is "works", "not yet" or "left out because …"; command, test and record (a path) say how to see it.
    """

    number: int
    feature: str
    state: str
    command: str = ""
    test: str = ""
    record: str = ""


def tasks(root: Path, page: Path) -> str:
    """The tasks that work, by their registry."""
    known = {name: builder.summary.partition(":")[0] for name, builder in task_registry.builders().items()}
    rows = [(title, f"`{name}`") for name, title in known.items()]
    return table(
        ("Task", "Recipe"), [*rows, ("Any combination of them as one model", f"`{'+'.join(known)}`")]
    )


def classification(root: Path, page: Path) -> str:
    """What was reached in image classification, every seed."""
    head = ("Recipe", "Network", "Input", "MMACs", "Parameters", "Top-1", "Parity", "Record")
    rows, summaries = [], []
    for file in sorted((root / "results").glob("*.json")):
        summary = Summary.read(file)
        first = summary.records[0]
        if part_kind(first.recipe.get("task")) != "classification":
            continue
        summaries.append(summary)
        rows.append(
            (
                f"`{summary.name}`",
                part_text(first.recipe.get("net", {}).get("backbone")),
                *_cost(first),
                _figures(summary, first.primary),
                _parity(summary.records),
                link(file, file.stem, page),
            )
        )
    return table(head, rows) + _bits(summaries) if rows else "No record yet.\n"


def _cost(record: Record) -> tuple[str, str, str]:
    """Input size, millions of multiply-accumulates, parameters."""
    height, width = record.cost.size
    millions = record.cost.macs / 1e6
    return (
        f"{height}x{width}",
        f"{millions:.1f}" if millions < 100 else f"{millions:.0f}",
        numbers.count(record.cost.params),
    )


def _seeds(row: SummaryRow) -> str:
    """The mean, and every value it is made of."""
    values = row.statistics.values
    text = numbers.value(row.statistics.mean)
    return text + (f" ({', '.join(map(numbers.value, values))})" if len(values) > 1 else "")


def _figures(summary: Summary, metric: str) -> str:
    """A metric of each network, with the first executor that it was measured with."""
    found: dict[str, SummaryRow] = {}
    for row in summary.metrics:
        if row.metric == metric:
            found.setdefault(row.network, row)
    return ", ".join(f"{network} {_seeds(row)}" for network, row in found.items())


def _parity(records: Sequence[Record]) -> str:
    """The largest difference over files and seeds."""
    if not all(record.parity for record in records):
        return "not verified"
    return f"{max(parity.judged_lsb for record in records for parity in record.parity)} LSB"


def results(root: Path, page: Path, names: str, metrics: str) -> str:
    """What records reached: one row each, each metric of each network with every seed.

    `names` are patterns of record files, `metrics` are keys of metrics, both separated by commas.
    """
    files = dict.fromkeys(
        f for name in names.split(",") for f in sorted((root / "results").glob(f"{name}.json"))
    )
    summaries = {file: Summary.read(file) for file in files}
    rows = [
        (
            link(file, file.stem, page),
            *_cost(summary.records[0]),
            *(_figures(summary, name) for name in metrics.split(",")),
            _parity(summary.records),
            _training(summary.records),
        )
        for file, summary in summaries.items()
    ]
    titles = [_title(name, summaries.values()) for name in metrics.split(",")]
    head = ("Record", "Input", "MMACs", "Parameters", *titles, "Parity", "Training")
    return table(head, rows) + _bits(summaries.values()) if rows else "No record yet.\n"


def _bits(summaries: Iterable[Summary]) -> str:
    """What in the integer networks of a table has other bits than int8 says."""
    found = {
        part_of(scheme).parse(summary.records[0].recipe["quant"]["scheme"]).build().exceptions
        for summary in summaries
        if any(row.network == DEFAULT for row in summary.metrics)
    }
    return f"\nint8: {' or '.join(sorted(found - {''}))}.\n" if found - {""} else ""


def _title(metric: str, summaries: Iterable[Summary]) -> str:
    """What a metric is called, by the task of a record that has it; its unit is the record's.

    Raises: ValueError if no record has it.
    """
    for summary in summaries:
        for row in summary.metrics:
            if row.metric == metric:
                task, _, _ = metric.partition("/")
                return f"{task}: {_task(summary.records[0]).spec(metric).label.removeprefix(f'{task}: ')}, {row.unit}"
    raise ValueError(f"no record has the metric '{metric}'; see `xvision report` for the keys of a run")


def _task(record: Record) -> Task:
    return build_task(parts_of(task_registry).parse(record.recipe["task"]), record.classes)


def _training(records: Sequence[Record]) -> str:
    """What one training took: minutes of one processor core, or of the clock on a GPU."""
    stages = [record.stages["train"] for record in records if "train" in record.stages]
    gpus = {record.machine.gpu for record in records}
    if not stages:
        return "–"
    if gpus == {""}:
        return f"{sum(stage.cpu_s for stage in stages) / len(stages) / 60:.1f} core-min"
    return f"{sum(stage.wall_s for stage in stages) / len(stages) / 60:.1f} min on {', '.join(sorted(gpus))}"


def measured(root: Path, page: Path, name: str) -> str:
    """What a script of benchmarks/ measured, as it kept it, and the command."""
    file = root / "results/measured" / f"{name}.json"
    if not file.is_file():
        return "No record yet.\n"
    found = Measurement.read(file)
    columns = dict.fromkeys(column for row in found.rows for column in row)
    rows = [[_cell(row.get(column, "")) for column in columns] for row in found.rows]
    return table(tuple(columns), rows) + f"\n`{found.command}`, {link(file, 'record', page)}.\n"


def networks(root: Path, page: Path) -> str:
    """What benchmarks/networks.py found: how many networks came out how, and a table of all, by family."""
    file = root / "results/measured/networks.json"
    if not file.is_file():
        return "No record yet.\n"
    found = Measurement.read(file)
    rows = list(found.rows)
    parts = [f"{network_tables.summary(rows)}\n"]
    parts += [
        f"### {family}\n\n{table(network_tables.HEAD, cells)}"
        for family, cells in network_tables.families(rows)
    ]
    return "\n".join(parts) + f"\n`{found.command}`, {link(file, 'record', page)}.\n"


def operators(root: Path, page: Path) -> str:
    """Torch's operators by what becomes of them in integers."""
    return table(("In integers", "Operators of torch"), network_tables.operators())


def idioms(root: Path, page: Path) -> str:
    """Ways of writing a network that have a test."""
    return ", ".join(network_tables.idioms()) + ".\n"


LINKS = (1, 100)
"""Gbit/s."""


def scale(root: Path, page: Path, names: str) -> str:
    """What processes exchange at each step of the trainings in records, and when a link between them is full.

    `names` are those of record files, separated by commas.
    """
    head = ["Record", "Parameters", "Batch", "Computing, ms", "Sent and received, MB"]
    for link_gbit in LINKS:
        name = f"{link_gbit} Gbit/s"
        head += [f"{name}: busy, ms", f"{name}: of the step", f"{name}: full at, images/s"]
    rows = []
    for name in names.split(","):
        file = root / "results" / f"{name}.json"
        found = Exchange.of(Summary.read(file).records[0])
        if found is None:
            raise ValueError(f"{file}: no whole training to take the time of a step from")
        row = [link(file, name, page), numbers.count(found.num_params), str(found.batch)]
        row += [f"{1e3 * found.step_s:.0f}", f"{found.sent_bytes / 1e6:.1f}"]
        for link_gbit in LINKS:
            busy_ms = f"{1e3 * found.link_s(link_gbit):.3g}"
            row += [
                busy_ms,
                f"{100 * found.share(link_gbit):.2g} %",
                f"{found.full_img_per_s(link_gbit):,.0f}",
            ]
        rows.append(row)
    return table(head, rows)


def _cell(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if value == int(value) else numbers.value(value)


def parity(root: Path, page: Path) -> str:
    """The rows of tools/parity_table.py, with how many of them work."""
    rows: Sequence[ParityRow] = runpy.run_path(str(root / "tools/parity_table.py"))["ROWS"]
    states = [row.state.split(" because")[0] for row in rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states), key=states.index))
    cells = [
        (
            str(row.number),
            row.feature,
            row.state,
            f"`{row.command}`" if row.command else "",
            f"`{row.test}`" if row.test else "",
            link(root / row.record, Path(row.record).stem, page) if row.record else "",
        )
        for row in rows
    ]
    return f"{len(rows)} features: {counts}.\n\n" + table(
        ("#", "Feature", "State", "Command", "Test", "Record"), cells
    )


GENERATORS: dict[str, Callable[..., str]] = {
    "results": results,
    "measured": measured,
    "networks": networks,
    "operators": operators,
    "idioms": idioms,
    "tasks": tasks,
    "classification": classification,
    "parity": parity,
    "scale": scale,
}


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    r"""A Markdown table.

    >>> print(table(("a", "b"), [("1", "x | y")]), end="")
    | a | b |
    |---|---|
    | 1 | x \| y |
    """
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |\n" for row in (head, *rows)]
    return "".join([lines[0], "|" + "---|" * len(head) + "\n", *lines[1:]])


def link(file: Path, title: str, page: Path) -> str:
    """A Markdown link to a file, relative to the page it stands on."""
    return f"[{title}]({os.path.relpath(file, page.parent).replace(os.sep, '/')})"


def rewrite(root: Path, page: Path) -> str:
    """The text of a page with every generated block made again.

    Raises ValueError for an unknown generator and for a block that is not closed.
    """
    text = page.read_text(encoding="utf-8")
    if text.count("<!-- generated:") != len(BLOCK.findall(text)):
        raise ValueError(
            f"{page}: expected each '<!-- generated:NAME -->' line to have its '<!-- /generated -->'"
        )

    def make(match: re.Match[str]) -> str:
        name, *arguments = match[2].split(":")
        if name not in GENERATORS:
            raise ValueError(f"{page}: no table is called '{name}'; {nearest(name, GENERATORS)}")
        return match[1] + GENERATORS[name](root, page, *arguments) + match[4]

    return BLOCK.sub(make, text)


def stale_pages(root: Path) -> dict[Path, str]:
    """Pages whose tables are not what they should be, and the text that they should have."""
    pages = [page for page in (root / "README.md", *sorted((root / "docs").glob("*.md"))) if page.is_file()]
    if not pages:
        raise ValueError(f"{root}: no README.md and no docs here; run this in the folder of the project")
    texts = {page: rewrite(root, page) for page in pages}
    return {page: text for page, text in texts.items() if text != page.read_text(encoding="utf-8")}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.tables", description="Rewrite generated tables.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a page is stale")
    check: bool = parser.parse_args(arguments).check
    try:
        stale = stale_pages(Path.cwd())
    except ValueError as e:
        print(e, file=sys.stderr)
        return 2
    for page, text in stale.items():
        print(f"{page.name}: {'stale; run python -m tools.tables' if check else 'rewritten'}")
        if not check:
            write_text(page, text)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
