"""Using what a run made, from the run folder or from an exported file alone: open it and measure it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from xvision.console import Console
from xvision.predict.opened import Opened
from xvision.recipes.overrides import override
from xvision.recipes.schema import Recipe, differing_keys
from xvision.runs.build import SPLIT_USES, Classes
from xvision.runs.files import RunFiles
from xvision.runs.measure import measure
from xvision.runs.measurements import Measurement
from xvision.runs.names import DEFAULT, FLOAT
from xvision.runs.run import Run

if TYPE_CHECKING:
    from xvision.data.dataset import Dataset
    from xvision.export.contract import Format
    from xvision.tasks.contract import Task


def load(path: str | Path, overrides: Sequence[str] = (), *, network: str | None = None) -> Opened:
    """What a run folder holds, or a file that one has exported; of its recipe `overrides` may change ``data.*`` alone.

    Of a run all networks are opened, or the `network` of this name: float, or a quantization.

    Raises: ValueError, FileError or OSError that names what is missing or of another kind.
    """
    from xvision.export.export import find_format

    path = Path(path)
    one = find_format(path)
    if one is not None and (found := RunFiles.around(path)):
        files, name = found
        files.checked(name)
    if one is None and path.is_file():
        raise ValueError(f"{path}: expected a run folder or an exported file, got a file of another kind")
    if one is not None and network is not None:
        raise ValueError(
            f"--as: expected a run folder to choose a network of, got the file {path}; leave it out"
        )
    opened = _open_run(Run(path), network) if one is None else _open_file(path, one)
    recipe = override(opened.recipe, overrides)
    if foreign := [key for key in differing_keys(opened.recipe, recipe) if not key.startswith("data.")]:
        raise ValueError(f"{foreign[0]}: {path} is trained already, only data.* can be changed here")
    return replace(opened, recipe=recipe)


def _open_run(run: Run, network: str | None) -> Opened:
    from xvision.export.export import as_executor

    run.check_trained()
    made = {name: as_executor(run.network(name)) for name in ([network] if network else run.networks)}
    recipe = run.recipe_of(network) if network else run.recipe
    return Opened(recipe, run.task.classes, {(name, runs.name): runs for name, runs in made.items()})


def _open_file(path: Path, one: Format) -> Opened:
    from xvision.export.contract import FileError

    executor = one.executor(path)
    try:
        recipe = Recipe.model_validate(json.loads(executor.metadata["recipe"]))
        named = json.loads(executor.metadata["classes"])
        classes = {field: tuple(names) for field, names in named.items()}
        unnamed = json.dumps(DEFAULT if one.quantized else FLOAT)  # as files of older versions are
        name: str = json.loads(executor.metadata.get("network", unnamed))
    except (KeyError, ValueError, AttributeError) as e:
        raise FileError(
            f"{path}: expected the file of a run, which says its preprocessing and classes, got one without ({e}); a "
            "file of xv.export is run with ONNX Runtime, see docs/own_network.md"
        ) from e
    return Opened(recipe, classes, {(name, executor.name): executor})


def open_labelled(opened: Opened, path: Path) -> tuple[Opened, Dataset]:
    """What was opened at `path` with the tasks that its data set has labels of; the set is checked by `check_val`."""
    from xvision.data.concat import open_data

    dataset = open_data(opened.recipe.data)
    opened = opened.measured_on(dataset)
    check_val(dataset, opened.task, opened.classes, str(path))
    return opened, dataset


def check_val(dataset: Dataset, task: Task, classes: Classes, who: str) -> None:
    """Raise DataError unless the data set has labels to measure `who` on, with the classes that it knows."""
    from xvision.data.concat import check_labels
    from xvision.data.dataset import DataError

    for field, names in classes.items():
        if tuple(dataset.classes.get(field, names)) != names:
            raise DataError(
                f"{who} knows the classes {', '.join(names)}; the data set {dataset.name} has "
                f"{', '.join(dataset.classes[field])}; measure it on data with the same classes in the same order"
            )
    check_labels(dataset, "val", task.needs_of_parts, SPLIT_USES["val"])


def validate(
    path: Path, overrides: Sequence[str], console: Console, network: str | None = None
) -> tuple[Measurement, ...]:
    """Metrics on the validation split, of every network or of one."""
    opened, dataset = open_labelled(load(path, overrides, network=network), path)
    task, loader = opened.task, opened.val_loader(dataset)
    return tuple(
        row
        for (name, _), executor in opened.executors.items()
        for row in measure(executor, name, task, loader, inputs=opened.inputs, console=console).measurements
    )
