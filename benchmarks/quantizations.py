"""Trained networks of every task, each quantized in several ways: what is lost, and what it costs.

    python benchmarks/quantizations.py runs/records/* --record results/measured/quantizations.json
    python benchmarks/quantizations.py runs/first --only "pow2 ptq" "pow2 qat"

The arguments are run folders, in which each way is left as a quantization of its own (`--as`), so that nothing is done
twice. Runs of one recipe are its seeds. Columns: the metric of each task, in float and as the integer network computes
it; the loss is positive where the integer network is worse, with those of all seeds; seconds of the processor to
quantize and to measure.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from measurement import measured

from xvision.runs.run import Run
from xvision.tasks.contract import Task

WAYS: dict[str, tuple[str, ...]] = {
    "pow2 mse": ("quant.rungs=mse",),
    "pow2 bias": ("quant.rungs=mse,bias",),
    "pow2 ptq": (),
    "pow2 equalize": ("quant.rungs=mse,equalize,weights",),
    "pow2 tqt": ("quant.rungs=mse,weights,tqt",),
    "pow2 qat": ("quant.method=qat",),
    "int8 ptq": ("quant.scheme=int8",),
    "int8 qat": ("quant.scheme=int8", "quant.method=qat"),
    "w4a8 ptq": ("quant.scheme=w4a8",),
    "w4a8 qat": ("quant.scheme=w4a8", "quant.method=qat"),
    "a16 ptq": ("quant.scheme=a16",),
}
Key = tuple[str, str, str]  # recipe, way, metric


def quantized(folder: Path, way: str) -> list[dict[str, Any]]:
    """The rows of all that was measured in a run, with this way among them."""
    name = way.replace(" ", "_")
    command = [
        sys.executable,
        "-m",
        "xvision.cli",
        "quantize",
        str(folder),
        *WAYS[way],
        "--as",
        name,
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{folder}, {way}: exit {done.returncode}\n{done.stderr[-2000:]}")
    rows: list[dict[str, Any]] = json.loads(done.stdout)["metrics"]
    return rows


def primaries(task: Task) -> Iterable[str]:
    return (part.primary for part in task.parts)


def losses(run: Run, rows: list[dict[str, Any]], network: str) -> dict[str, tuple[float, float, float]]:
    """Of each task's metric: in float, in integers, and what is lost."""
    found = {}
    for metric in primaries(run.task):
        of = {row["network"]: row["value"] for row in rows if row["metric"] == metric}
        worse = 1 if run.task.spec(metric).larger_is_better else -1
        found[metric] = of["float"], of[network], worse * (of["float"] - of[network])
    return found


def table(found: dict[Key, list[tuple[float, float, float, float]]]) -> list[dict[str, float | str]]:
    rows: list[dict[str, float | str]] = []
    for (recipe, way, metric), values in found.items():
        floats, integers, lost, seconds = (list(column) for column in zip(*values, strict=True))
        rows.append(
            {
                "recipe": recipe,
                "quantization": way,
                "metric": metric,
                "seeds": len(values),
                "float": round(statistics.mean(floats), 2),
                "integer": round(statistics.mean(integers), 2),
                "loss": round(statistics.mean(lost), 2),
                "losses": ", ".join(f"{one:.2f}" for one in lost),
                "seconds": round(statistics.mean(seconds)),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--only", nargs="*", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--record", type=Path, help="write a JSON file too")
    options = parser.parse_args()
    found: dict[Key, list[tuple[float, float, float, float]]] = defaultdict(list)
    for folder in options.runs:
        for way in options.only:
            rows, run = quantized(folder, way), Run(folder)
            seconds = next(
                done.cpu_s
                for name, done in run.files.status.stages.items()
                if name.endswith(way.replace(" ", "_"))
            )
            for metric, values in losses(run, rows, way.replace(" ", "_")).items():
                found[run.recipe.name, way, metric].append((*values, seconds))
                text = "  ".join(f"{one:.2f}" for one in values)
                print(f"{folder.name}  {way}  {metric}  {text}  {seconds:.0f} s", flush=True)
    if options.record:
        measured(table(found)).write(options.record)


if __name__ == "__main__":
    main()
