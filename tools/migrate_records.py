"""Bring records of an older form to today's names and structure; no figure changes.

    python -m tools.migrate_records [results/NAME.json …]

Settings and metrics get today's names, metrics become rows, losses parts with a weight, the framing that went without
saying is said (`data.framing`), and how int8 was found stands under the name of its quantization. The recipe's id is
that of today's recipe with the same settings; the old one is kept beside it. A record that is of today's form already
is left alone.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.summary import Summary, aggregate
from xvision.config.parts import parts_of
from xvision.files import read_json
from xvision.recipes.schema import Recipe
from xvision.runs.names import DEFAULT
from xvision.runs.record import Record
from xvision.tasks import task
from xvision.tasks.contract import Task
from xvision.tasks.multi import build_task

NOTE = "names and structure of an older form are brought to today's; no figure has changed"
SETTINGS = {
    "data": {"draw": "sampling", "fit": "crop_ratio", "mirror": "hflip", "gap": "frame_gap"},
    "net": {"enlarge_by": "upsample_mode", "least_channels": "min_channels"},
    "export": {"formats": "format"},
}
"""Old and new names of settings, by section."""
COLUMNS = {
    "float": ("float", "pytorch", "torch"),
    "int8": ("int8", "simulation", "torch"),
    "onnx": ("int8", "onnxruntime", "onnxruntime"),
}
"""What was measured: network, executor and the package that computed it."""
CORRECTIONS = {"nothing": ["mse"], "bias": ["mse", "bias"], "weights": ["mse", "weights"]}
HEADS = {"class": "classification"}


def migrated(plain: Mapping[str, Any]) -> Summary:
    """Today's form of a summary's JSON."""
    records = [_record(record) for record in plain["records"]]
    summary = aggregate([Record.model_validate(record) for record in records])
    _check(plain, summary)
    return summary


def renewed(plain: Mapping[str, Any]) -> Summary:
    """A summary of today's form with today's names of settings."""
    records = []
    for old in plain["records"]:
        recipe = {key: _renamed(value, SETTINGS.get(key, {})) for key, value in old["recipe"].items()}
        recipe["quant"] = _rungs(recipe["quant"])
        ids = {"recipe_id": Recipe.model_validate(recipe).id, "former_recipe_id": old["recipe_id"]}
        changed = {"recipe": recipe, "quantization": _quantization(old, recipe), **ids, "migrated": NOTE}
        records.append(Record.model_validate({**old, **changed}))
    return aggregate(records)


def _is_unnamed(record: Mapping[str, Any]) -> bool:
    """Whether it says of one quantization how it was found, not of each by its name."""
    return "num_fitted" in (record.get("quantization") or {})


def _quantization(old: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, Any]:
    found = old.get("quantization") or {}
    return {DEFAULT: {"quant": recipe["quant"], **found}} if _is_unnamed(old) else found


def _record(old: Mapping[str, Any]) -> dict[str, Any]:
    classes = old["classes"] if isinstance(old["classes"], dict) else {"class": old["classes"]}
    recipe = _recipe(old["recipe"])
    made = build_task(parts_of(task).parse(recipe["task"]), {f: tuple(names) for f, names in classes.items()})
    recipe["expect"] = {_key(made, name): value for name, value in recipe.get("expect", {}).items()}
    return dict(old) | {
        "recipe": recipe,
        "recipe_id": Recipe.model_validate(recipe).id,
        "former_recipe_id": old["recipe_id"],
        "migrated": NOTE,
        "classes": classes,
        "expect": {_key(made, name): value for name, value in old.get("expect", {}).items()},
        "heads": {HEADS.get(name, name): cost for name, cost in (old.get("heads") or {}).items()},
        "primary": _key(made, old["primary"]),
        "metrics": list(_rows(made, old)),
        "quantization": _quantization(old, recipe),
        "parity": [_parity(old)] if old.get("parity") else [],
    }


def _recipe(old: Mapping[str, Any]) -> dict[str, Any]:
    recipe: dict[str, Any] = {key: _renamed(value, SETTINGS.get(key, {})) for key, value in old.items()}
    tasks = recipe["task"] if isinstance(recipe["task"], dict) else {recipe["task"]: {}}
    recipe["task"] = {name: _losses(name, dict(settings)) for name, settings in tasks.items()}
    if "quant" in recipe:
        recipe["quant"] = _rungs(recipe["quant"])
    recipe["data"]["framing"] = "crop" if set(tasks) == {"classification"} else "stretch"
    return recipe


def _has_old_names(record: Mapping[str, Any]) -> bool:
    recipe = record["recipe"]
    return "formats" in recipe.get("export", {}) or _rungs(recipe["quant"]) != recipe["quant"]


def _rungs(quant: Mapping[str, Any]) -> dict[str, Any]:
    """The strongest correction that `ptq` might take is now the last of its rungs."""
    method = quant.get("method")
    if not isinstance(method, dict) or "correct" not in method.get("ptq", {}):
        return dict(quant)
    settings = dict(method["ptq"])
    settings["rungs"] = CORRECTIONS[settings.pop("correct")]
    return {**quant, "method": {"ptq": settings}}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(value, dict):
        return value
    return {names.get(key, key): _renamed(inner, names) for key, inner in value.items()}


def _losses(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    if "losses" in settings:
        settings["losses"] = task.part(name, {"losses": settings["losses"]}).settings["losses"]
    return settings


def _key(made: Task, name: str) -> str:
    """Today's key of a metric: ``depth.ard``, or of one task alone ``ard``, is ``depth/abs_rel``."""
    if name == "score":
        return name
    owner, own = (made.name, name) if len(made.parts) == 1 else name.split(".", 1)
    if own == "ard" or own.startswith("ard_"):
        own = "abs_rel" + own.removeprefix("ard")
    return made.spec(f"{owner}/{own}").name


def _rows(made: Task, old: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for column, figures in old["metrics"].items():
        network, executor, package = COLUMNS[column]
        for name, value in figures.items():
            key = _key(made, name)
            yield {
                "network": network,
                "executor": executor,
                "split": "val",
                "metric": key,
                "value": value,
                "unit": made.spec(key).unit,
                "version": f"{package} {old['versions'][package]}",
            }


def _parity(old: Mapping[str, Any]) -> dict[str, Any]:
    network, executor, package = COLUMNS["onnx"]
    return dict(old["parity"]) | {
        "network": network,
        "reference": COLUMNS["int8"][1],
        "executor": executor,
        "file": "export/model.onnx",
        "version": f"{package} {old['versions'][package]}",
    }


def _check(plain: Mapping[str, Any], summary: Summary) -> None:
    """Every figure is there as often as before, of every seed and in the statistics over seeds."""
    for old, new in zip(plain["records"], summary.records, strict=True):
        before = [value for figures in old["metrics"].values() for value in figures.values()]
        assert Counter(before) == Counter(row.value for row in new.metrics), old["name"]
        for key in ("cost", "data", "artefacts", "stages", "commit", "dirty", "machine", "versions"):
            assert old[key] == json.loads(new.model_dump_json())[key], key
    before = [tuple(_numbers(found)) for figures in plain["metrics"].values() for found in figures.values()]
    after = [tuple(_numbers(row.statistics.model_dump())) for row in summary.metrics]
    assert Counter(before) == Counter(after), plain["name"]
    assert (plain["name"], list(plain["seeds"])) == (summary.name, list(summary.seeds))


def _numbers(statistics: Mapping[str, Any]) -> Iterator[float]:
    yield from (statistics["mean"], statistics["min"], statistics["max"], *statistics["values"])


def main(names: Sequence[str]) -> None:
    """Migrate the records named, or all in results/."""
    for file in map(Path, names or sorted(map(str, Path("results").glob("*.json")))):
        plain = read_json(file)
        if isinstance(plain["metrics"], dict):
            migrated(plain).write(file)
        elif any(_is_unnamed(record) or _has_old_names(record) for record in plain["records"]):
            renewed(plain).write(file)
        else:
            continue
        print(f"migrated  {file}")


if __name__ == "__main__":
    main(sys.argv[1:])
