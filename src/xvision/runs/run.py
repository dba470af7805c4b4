"""A run: a recipe in a folder, and everything that can be made from it, each when it is first asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from xvision.console import Console
from xvision.recipes.schema import Recipe, differing_keys, read_recipe
from xvision.runs import build
from xvision.runs.build import Classes, SettingError
from xvision.runs.files import BEST, EXPORT, QUANTIZED, RECIPE, RunFiles
from xvision.runs.measurements import Column, Confusion, Measurement, Measurements
from xvision.train.processes import Processes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xvision.data.dataset import Dataset, Split
    from xvision.data.framing import Framing
    from xvision.data.loader import Loader
    from xvision.export.contract import Executor, Format
    from xvision.models.inputs import Inputs
    from xvision.models.model import Model
    from xvision.runs.record import Record
    from xvision.tasks.contract import Task


FREE_OF_TRAINING = ("quant.", "export.")
"""Sections of a recipe that a network that is trained does not depend on."""

NETWORKS = {"float": (BEST, "model"), "int8": (QUANTIZED, "quantized")}
"""Networks of a run by name: their file, and where `Run` has them."""


class Run:
    """A recipe in a folder.

    `classes` are those of a network that is trained, by field: with them nothing but measuring and calibration needs
    the data set.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        console: Console | None = None,
        processes: Processes | None = None,
        classes: Classes | None = None,
    ) -> None:
        self.folder = folder
        self.files = RunFiles(folder)
        self.recipe = recipe
        self.console = console or Console(quiet=True)
        self.processes = processes or Processes()
        self.warnings: list[str] = []
        """What a reader of the results should know: of the data above all, such as a unit that is probably wrong."""
        self._classes = classes

    def warn(self, line: str) -> None:
        """Say it now, and keep it for the record."""
        self.console.warn(line)
        self.warnings.append(line)

    # ------------------------------------------------------------------------------------------- data

    @cached_property
    def dataset(self) -> Dataset:
        from xvision.data.concat import open_data

        return open_data(self.recipe.data)

    @cached_property
    def digests(self) -> dict[str, str]:
        """sha256 of each split's list of names and contents."""
        return {name: split.digest() for name, split in self.dataset.splits.items()}

    @cached_property
    def task(self) -> Task:
        from xvision.tasks.multi import build_task

        known = self.dataset.classes if self._classes is None else self._classes
        return build_task(self.recipe.task, known)

    @property
    def inputs(self) -> Inputs:
        """What the network takes."""
        return self.recipe.net.takes

    @property
    def framing(self) -> Framing:
        """How samples are brought to the network's input."""
        from xvision.data.framing import framing_of

        return framing_of(self.recipe.data, self.task.needs)

    def split(self, name: str) -> Split:
        """A split of the data with what the network takes and the tasks need; DataError says what is missing."""
        return build.open_split(self.recipe, self.task, self.dataset, name)

    def loader(self, split: str, *, train: bool = False, shared: bool = False) -> Loader:
        """Batches of a split: augmented and shuffled for training, else every sample once in order.

        `shared` among the processes of the run, each its own; else each sees all.
        """
        processes = self.processes if shared else Processes()
        return build.make_loader(self.recipe, self.task, self.split(split), train=train, processes=processes)

    def planes(self, split: str) -> Iterator[tuple[Tensor, ...]]:
        """The un-augmented inputs of a split as the network takes them."""
        for batch in self.loader(split).epoch(0):
            yield self.inputs.encode(batch)

    def calibration(self) -> Iterator[tuple[Tensor, ...]]:
        """Un-augmented inputs drawn from all over the training split, never from the split that is reported."""
        return build.calibration_inputs(self.recipe, self.task, self.split("train"))

    # ------------------------------------------------------------------------------------------- networks

    def build(self, *, weights: bool = True) -> Model:
        """The network before training: random by the seed, with `weights` then those that the recipe names."""
        return build.build_network(self.recipe, self.task, weights=weights)

    @cached_property
    def model(self) -> Model:
        """The float network with its best weights.

        Raises: ChangedFileError if their file is not what training wrote.
        """
        from xvision.train.checkpoint import load_weights

        model = self.build(weights=False)
        load_weights(model, self.files.checked(BEST))
        return model.eval()

    @cached_property
    def quantized(self) -> nn.Module:
        """The network as the device computes it, simulated."""
        from xvision.quant.state import load

        return load(self.model, self.files.checked(QUANTIZED))

    def changed(self) -> None:
        """Forget the networks: their files are others now."""
        for name in ("model", "quantized"):
            vars(self).pop(name, None)

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of the networks that the run has, in the order of the pipeline."""
        return tuple(name for name, (file, _) in NETWORKS.items() if self.files.has(file))

    def network(self, name: str) -> nn.Module:
        """A network by its name."""
        found: nn.Module = getattr(self, NETWORKS[name][1])
        return found

    def formats(self) -> list[Format]:
        """The formats that the recipe names."""
        return [part.build() for part in self.recipe.export.formats]

    @staticmethod
    def exported(one: Format) -> str:
        """The file of a format, relative to the folder."""
        return f"{EXPORT}/{one.file_name}"

    @property
    def recipe_changed(self) -> bool:
        """Whether recipe.yaml says something else, were it a setting that decides nothing; comments are free."""
        return not self.files.has(RECIPE) or self.files.recipe != self.recipe

    @property
    def id_maps(self) -> tuple[str, ...]:
        """The outputs that the file gives as class ids and not as scores."""
        return self.task.class_maps if self.recipe.export.argmax else ()

    # ------------------------------------------------------------------------------------------- results

    @property
    def record(self) -> Record:
        """What the run has reached so far."""
        found = self.files.record
        if found is None:
            raise ValueError(
                f"{self.folder}: expected a record, there is none yet; `xvision report {self.folder}`"
            )
        return found

    def measure(self, network: str, executor: Executor) -> Measurements:
        """The figures of an executor on the validation split."""
        return measure(
            executor, network, self.task, self.loader("val"), inputs=self.inputs, console=self.console
        )

    def check_settings(self) -> None:
        """Raise SettingError, or DataError, now for what a stage hours later could not do; it reads no image."""
        import torch

        for name in ("train", "val") if self.recipe.train.epochs else ("val",):
            self.split(name)
        if self.inputs.fields != ("image",):
            _ = self.recipe.data.frame_gap  # sets of several gaps do not go together
        with torch.device("meta"):
            self.build(weights=False)
        if self.recipe.export.argmax and not self.task.class_maps:
            raise SettingError(
                f"export.argmax: expected a task that finds a class for each pixel, {self.task.name} does not; leave "
                "it out"
            )
        from xvision.data.photometry import Photometry

        fields = (*self.inputs.fields, *self.task.needs)
        try:
            Photometry(self.recipe.data.augment, fields, self.dataset.classes)
            self.recipe.train.balancing.build([part.name for part in self.task.parts])
        except ValueError as e:
            raise SettingError(str(e)) from e


def measure(
    executor: Executor,
    network: str,
    task: Task,
    loader: Loader,
    *,
    inputs: Inputs,
    console: Console,
    split: str = "val",
) -> Measurements:
    """The figures of a network, computed by an executor, on the samples of a loader."""
    from xvision.train.evaluation import evaluate

    found = evaluate(executor, task, loader, console=console, inputs=inputs, device=executor.device)
    column = (network, executor.name)
    return Measurements(
        classes=dict(task.classes),
        measurements=as_rows(column, split, found.metrics, task, executor.version),
        confusions=tuple(
            Confusion(
                network=network,
                executor=executor.name,
                split=split,
                field=field,
                table=tuple(map(tuple, table)),
            )
            for field, table in found.confusions.items()
        ),
    )


def as_rows(
    column: Column, split: str, metrics: Mapping[str, float], task: Task, version: str = ""
) -> tuple[Measurement, ...]:
    """Metrics of a task as rows, with their units."""
    network, executor = column
    return tuple(
        Measurement(
            network=network,
            executor=executor,
            split=split,
            metric=key,
            value=None if math.isnan(value) else value,
            unit=task.spec(key).unit,
            version=version,
        )
        for key, value in metrics.items()
    )


def load_run(folder: Path, console: Console | None = None) -> Run:
    """The run in a folder; ValueError says what is missing."""
    files = RunFiles(folder)
    if not files.has(RECIPE):
        raise ValueError(
            f"{folder}: not a run folder (no recipe.yaml); `xvision run RECIPE --out {folder}` makes one"
        )
    return Run(folder, files.recipe, console)


def load_trained(folder: Path) -> Run:
    """The run in a folder with the classes that its network has learned, whatever its data set is by now.

    Of a training that was interrupted the data set must say them. Raises: ValueError if nothing is trained there.
    """
    run = load_run(folder)
    if not run.files.has(BEST):
        raise ValueError(f"{folder}: nothing is trained there yet; `xvision train --resume {folder}` goes on")
    found = run.files.evaluation.classes
    return Run(folder, run.recipe, run.console, classes=found) if found else run


def check_recipe(run: Run) -> None:
    """Raise ValueError if the folder's run was made with another recipe, or its recipe.yaml was edited since.

    What quantizes and exports may change, and so may what decides nothing; where nothing was done all may.
    """
    status = run.files.status
    if not status.stages and not run.files.checkpoints.exists():
        return
    there = run.files.recipe if run.files.has(RECIPE) else run.recipe
    made = Recipe.model_validate(status.recipe) if status.recipe else there
    if edited := differing_keys(made, there):
        lines = "\n".join(
            f"  {k}: {was!r} when it was made, {now!r} there" for k, (was, now) in edited.items()
        )
        raise ValueError(
            f"{run.folder / RECIPE} was edited since the run was made:\n{lines}\nundo that, and give changes as "
            "KEY=VALUE on the command line"
        )
    changed = differing_keys(made, run.recipe)
    if foreign := [key for key in changed if not key.startswith(FREE_OF_TRAINING)]:
        lines = "\n".join(f"  {k}: {changed[k][0]!r} there, {changed[k][1]!r} asked for" for k in foreign)
        raise ValueError(
            f"{run.folder} holds a run of another recipe:\n{lines}\n"
            f"choose another --out, or --fresh to move the old run aside"
        )


def check_unchanged(run: Run) -> None:
    """Raise ChangedFileError if a file is not what its stage wrote; one that is gone is made anew."""
    for done in run.files.status.stages.values():
        for name in done.outputs:
            run.files.checked(name)
    _ = run.files.evaluation


def check_moved(run: Run, read: str, *, keep: bool) -> None:
    """Refuse other data than the network was trained on if it is said to have moved only, or if the network is kept.

    `read` is the digest of what training would read now.
    """
    from xvision.data.dataset import DataError

    trained = run.files.status.stages.get("train")
    if trained is None or trained.inputs == read:
        return
    was = read_recipe(run.folder / RECIPE).places
    moved = [place for name, place in run.recipe.places.items() if was.get(name) != place]
    if moved or keep:
        raise DataError(
            f"{run.folder}: expected the data that its network was trained on; {_what_changed(run)}"
            f"{' in ' + ' and '.join(moved) if moved else ''}; bring the files back, name the place where they are now "
            "(data.root), or train with `xvision run` and another --out"
        )


def _what_changed(run: Run) -> str:
    """What the record says of the data, and what is there now."""
    record = run.files.record
    known = record.data if record else {}
    found = []
    for name, split in run.dataset.splits.items():
        if name not in known:
            continue
        if len(split) != known[name].num_samples:
            found.append(f"'{name}' had {known[name].num_samples} samples, there are {len(split)}")
        elif run.digests[name] != known[name].sha256:
            found.append(f"files of '{name}' have changed")
    classes = record.classes if record else {}
    for field, names in run.task.classes.items():
        if names != classes.get(field, names):
            found.append(f"the classes of '{field}' have changed")
    return ", ".join(found) or "there are others"
