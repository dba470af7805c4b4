"""Using what a run made, from the run folder or from the ONNX file alone: open it and measure it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xvision.config.parts import Parts
from xvision.console import Console
from xvision.recipes.overrides import override
from xvision.recipes.schema import Recipe, differing_keys
from xvision.runs.run import SPLIT_USES, load_trained

if TYPE_CHECKING:
    from xvision.data.dataset import Dataset
    from xvision.data.framing import Framing
    from xvision.data.loader import Loader
    from xvision.models.inputs import Inputs
    from xvision.tasks.contract import Task


@dataclass(frozen=True)
class Target:
    """Networks that share a recipe: a run's float and int8 ones, or an ONNX file."""

    recipe: Recipe
    classes: Mapping[str, tuple[str, ...]]
    models: dict[str, Callable[..., Any]]

    @property
    def inputs(self) -> Inputs:
        """What the networks take."""
        return self.recipe.net.takes

    @property
    def task(self) -> Task:
        """The task with the classes that the network was trained for."""
        from xvision.tasks.multi import build_task

        return build_task(self.recipe.task, self.classes)

    @property
    def framing(self) -> Framing:
        """How the networks see an image."""
        from xvision.data.framing import framing_of

        return framing_of(self.recipe.data, self.task.needs)

    def val_loader(self, dataset: Dataset) -> Loader:
        """The validation samples of a data set, each once in order, as the networks take them and with their labels."""
        from xvision.data.flow import split_for
        from xvision.data.loader import Loader

        recipe, task = self.recipe, self.task
        return Loader(
            split_for(dataset, "val", self.inputs.fields, recipe.data.flow),
            (*self.inputs.fields, *task.needs),
            recipe.data,
            batch_size=recipe.train.batch_size,
            train=False,
            seed=recipe.seed,
            framing=self.framing,
            native_size=task.maps,
        )

    def measured_on(self, dataset: Dataset) -> Target:
        """The target with those of its tasks that a data set has labels of; itself if that is none, or all."""
        parts = zip(self.recipe.task, self.task.parts, strict=True)
        kept = {part: task for part, task in parts if set(task.needs) <= set(dataset.fields)}
        if not kept:
            return self
        recipe = self.recipe.model_copy(update={"task": Parts(self.recipe.task.registry, tuple(kept))})
        return Target(recipe, {f: n for task in kept.values() for f, n in task.classes.items()}, self.models)


def open_target(path: Path, overrides: Sequence[str] = ()) -> Target:
    """A run folder or an ONNX file that xvision exported; only `data.*` may be overridden."""
    if path.suffix == ".onnx":
        target = _open_file(path)
    else:
        run = load_trained(path)
        models: dict[str, Callable[..., Any]] = {"float": run.model}
        if (path / "quant/model.safetensors").exists():
            models["int8"] = run.quantized
        target = Target(run.recipe, run.task.classes, models)
    recipe = override(target.recipe, overrides)
    if foreign := [key for key in differing_keys(target.recipe, recipe) if not key.startswith("data.")]:
        raise ValueError(f"{foreign[0]}: {path} is trained already, only data.* can be changed here")
    return Target(recipe, target.classes, target.models)


def _open_file(path: Path) -> Target:
    from xvision.export.contract import FileError
    from xvision.export.export import format_of

    model = format_of(path).executor(path)
    try:
        recipe = Recipe.model_validate(json.loads(model.metadata["recipe"]))
        named = json.loads(model.metadata["classes"])
        classes = {field: tuple(names) for field, names in named.items()}
    except (KeyError, ValueError, AttributeError) as e:
        raise FileError(
            f"{path}: says nothing of its preprocessing and classes ({e}); expected a file from `xvision export`"
        ) from e
    return Target(recipe, classes, {"onnx": model})


def open_labelled(target: Target, path: Path) -> tuple[Target, Dataset]:
    """The target at `path` with the tasks that its data set has labels of; the set is checked by `check_val`."""
    from xvision.data.concat import open_data

    dataset = open_data(target.recipe.data)
    target = target.measured_on(dataset)
    check_val(dataset, target.task, target.classes, str(path))
    return target, dataset


def check_val(dataset: Dataset, task: Task, classes: Mapping[str, tuple[str, ...]], who: str) -> None:
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


def validate(path: Path, overrides: Sequence[str], console: Console) -> dict[str, dict[str, float]]:
    """Metrics on the validation split, by what was measured: float and int8, or onnx."""
    from xvision.train.loop import evaluate

    target, dataset = open_labelled(open_target(path, overrides), path)
    loader = target.val_loader(dataset)
    return {
        name: evaluate(model, target.task, loader, console=console, inputs=target.inputs).metrics
        for name, model in target.models.items()
    }
