"""Tables of README and docs, made from the code and from records: never typed, so never wrong.

A page marks the place::

    <!-- generated:tasks -->
    <!-- /generated -->

What follows a colon are arguments: ``generated:results:camvid_*:segmentation.miou``.

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
from xvision.config.messages import nearest
from xvision.files import write_text
from xvision.report import units
from xvision.runs.record import Record, Summary

BLOCK = re.compile(r"(<!-- generated:(\S+) -->\n)(.*?)(<!-- /generated -->)", re.DOTALL)
TASKS = (
    ("Image classification", "classification"),
    ("Semantic segmentation", "segmentation"),
    ("Depth estimation", "depth"),
    ("Motion segmentation", "motion"),
    ("Object detection", "detection"),
    ("Keypoints, human pose", "pose"),
    ("Any combination of those that work as one model", "segmentation+depth+motion"),
)


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
    """The seven tasks and which of them work."""
    from xvision.tasks import task

    known = task.builders()
    return table(
        ("Task", "Recipe", "State"),
        [
            (title, f"`{recipe}`", "works" if known.keys() >= set(recipe.split("+")) else "not yet")
            for title, recipe in TASKS
        ],
    )


def classification(root: Path, page: Path) -> str:
    """What was reached in image classification, every seed."""
    head = (
        "Recipe",
        "Network",
        "Input",
        "MMACs",
        "Parameters",
        "Float top-1",
        "Int8 top-1",
        "Int8 − float",
        "Parity",
    )
    rows = []
    for file in sorted((root / "results").glob("*.json")):
        summary = Summary.read(file)
        if units.part_kind(summary.records[0].recipe.get("task")) == "classification":
            rows.append((*_result(summary), link(file, file.stem, page)))
    return table((*head, "Record"), rows) if rows else "No record yet.\n"


def _result(summary: Summary) -> tuple[str, ...]:
    first = summary.records[0]
    top1 = {key: values["top1"] for key, values in summary.metrics.items()}
    floats, int8 = top1.get("float"), top1.get("int8")
    return (
        f"`{summary.name}`",
        units.part_text(first.recipe.get("net", {}).get("backbone")),
        f"{first.cost.size[0]}x{first.cost.size[1]}",
        f"{first.cost.macs / 1e6:.1f}",
        units.count(first.cost.params),
        _seeds(floats.mean, floats.values) if floats else "–",
        _seeds(int8.mean, int8.values) if int8 else "–",
        units.delta(floats.mean, int8.mean) if floats and int8 else "–",
        _parity(summary.records),
    )


def _seeds(mean: float, values: Sequence[float]) -> str:
    """The mean, and every value it is made of."""
    return units.value(mean) + (f" ({', '.join(map(units.value, values))})" if len(values) > 1 else "")


def _parity(records: Sequence[Record]) -> str:
    found = [record.parity.max_lsb for record in records if record.parity]
    return f"{max(found)} LSB" if len(found) == len(records) else "not verified"


def results(root: Path, page: Path, names: str, metrics: str) -> str:
    """What records reached: one row each, float and int8 of each metric with every seed.

    `names` are patterns of record files, `metrics` are written with their task, both separated by commas; a network
    with one task calls its metrics without it.
    """
    files = dict.fromkeys(
        f for name in names.split(",") for f in sorted((root / "results").glob(f"{name}.json"))
    )
    wanted = metrics.split(",")
    rows = []
    for file in files:
        summary = Summary.read(file)
        first = summary.records[0]
        row = [
            link(file, file.stem, page),
            f"{first.cost.size[0]}x{first.cost.size[1]}",
            f"{first.cost.macs / 1e6:.0f}",
            units.count(first.cost.params),
        ]
        row += [_of_kinds(summary, name) for name in wanted]
        rows.append((*row, _parity(summary.records), _training(summary.records)))
    titles = [units.metric_name(name) for name in wanted]
    head = ("Record", "Input", "MMACs", "Parameters", *titles, "Parity", "Training")
    return table(head, rows) if rows else "No record yet.\n"


def _training(records: Sequence[Record]) -> str:
    """What one training took: minutes of one processor core, or of the clock on a GPU."""
    stages = [record.stages["train"] for record in records if "train" in record.stages]
    gpus = {record.machine.gpu for record in records}
    if not stages:
        return "–"
    if gpus == {""}:
        return f"{sum(stage.cpu_s for stage in stages) / len(stages) / 60:.1f} core-min"
    return f"{sum(stage.wall_s for stage in stages) / len(stages) / 60:.1f} min on {', '.join(sorted(gpus))}"


def _of_kinds(summary: Summary, name: str) -> str:
    """A metric in float and in int8, as far as they were measured."""
    task, _, own = name.rpartition(".")
    several = "+" in units.part_kind(summary.records[0].recipe.get("task"))
    if not several and units.part_kind(summary.records[0].recipe.get("task")) != task:
        return ""
    texts = []
    for kind in ("float", "int8"):
        found = summary.metrics.get(kind, {}).get(name if several else own)
        if found is not None:
            texts.append(f"{kind} {_seeds(found.mean, found.values)}")
    return ", ".join(texts)


def measured(root: Path, page: Path, name: str) -> str:
    """What a script of benchmarks/ measured, as it kept it, and the command."""
    file = root / "results/measured" / f"{name}.json"
    if not file.is_file():
        return "No record yet.\n"
    found = Measurement.read(file)
    columns = dict.fromkeys(column for row in found.rows for column in row)
    rows = [[_cell(row.get(column, "")) for column in columns] for row in found.rows]
    return table(tuple(columns), rows) + f"\n`{found.command}`, {link(file, 'record', page)}.\n"


def _cell(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return str(int(value)) if value == int(value) else units.value(value)


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
    "tasks": tasks,
    "classification": classification,
    "parity": parity,
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
    """The text of a page with every generated block made anew.

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
