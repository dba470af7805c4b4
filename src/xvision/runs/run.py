"""A run folder: whose it is, what its stages have left, and everything that can be made from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xvision.console import Console
from xvision.files import read_json, write_json
from xvision.recipes.schema import Recipe, differing_keys, read_recipe
from xvision.train.processes import Processes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xvision.data.dataset import Dataset, Split
    from xvision.data.framing import Framing
    from xvision.data.loader import Loader
    from xvision.models.inputs import Inputs
    from xvision.models.model import Model
    from xvision.runs.record import Record
    from xvision.tasks.contract import Task

SPLIT_USES = {
    "train": "training and the search of int8 ranges use it, and never the images that are reported",
    "val": "it is what metrics are measured on",
}


class SettingError(ValueError):
    """A setting that only the network itself could check; `exit_code` is what the command returns."""

    exit_code = 2


class Run:
    """A run folder with everything that can be made from it, each made when first asked for.

    `classes` are those of a network that is trained, by field: with them nothing but measuring and calibration needs
    the data set.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        console: Console | None = None,
        classes: Mapping[str, tuple[str, ...]] | None = None,
        processes: Processes = Processes(),
    ) -> None:
        self.processes = processes
        self.folder = folder
        self.recipe = recipe
        self.console = console or Console(quiet=True)
        self.warnings: list[str] = []
        """What a reader of the results should know: of the data above all, such as a unit that is probably wrong."""
        self._classes = classes

    @cached_property
    def dataset(self) -> Dataset:
        from xvision.data.concat import open_data

        return open_data(self.recipe.data)

    def warn(self, line: str) -> None:
        """Say it now, and keep it for the record."""
        self.console.warn(line)
        self.warnings.append(line)

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
        from xvision.data.flow import split_for

        self._check_labels(name)
        return split_for(self.dataset, name, self.inputs.fields, self.recipe.data.flow)

    def _check_labels(self, name: str) -> None:
        from xvision.data.concat import check_labels

        check_labels(self.dataset, name, self.task.needs_of_parts, SPLIT_USES.get(name, ""))

    def loader(self, split: str, *, train: bool = False, processes: Processes = Processes()) -> Loader:
        """Batches of a split: augmented and shuffled for training, else every sample once in order.

        Of several `processes` each gets its share of them.
        """
        from xvision.data.loader import Loader
        from xvision.train.hardware import num_workers

        return Loader(
            self.split(split),
            (*self.inputs.fields, *self.task.needs),
            self.recipe.data,
            batch_size=self.recipe.train.batch_size,
            train=train,
            seed=self.recipe.seed,
            workers=num_workers(self.recipe.train.workers, processes.local_world),
            rank=processes.rank,
            world=processes.world,
            framing=self.framing,
            native_size=() if train else self.task.maps,
        )

    def planes(self, split: str) -> Iterator[tuple[Tensor, ...]]:
        """The un-augmented inputs of a split as the network takes them."""
        for batch in self.loader(split).epoch(0):
            yield self.inputs.encode(batch)

    def calibration(self) -> Iterator[tuple[Tensor, ...]]:
        """Un-augmented inputs drawn from all over the training split, never from the split that is reported."""
        from xvision.data.loader import calibration_batches

        for batch in calibration_batches(
            self.split("train"),
            self.inputs.fields,
            self.recipe.data,
            num_samples=self.recipe.quant.method.settings["num_images"],
            batch_size=self.recipe.train.batch_size,
            seed=self.recipe.seed,
            framing=self.framing,
        ):
            yield self.inputs.encode(batch)

    def build(self, *, weights: bool = True) -> Model:
        """The network before training: random by the seed, with `weights` then those that the recipe names."""
        import torch

        from xvision.models.build import build_model

        torch.manual_seed(self.recipe.seed)
        net = self.recipe.net if weights else self.recipe.net.model_copy(update={"weights": "none"})
        outputs = self.task.outputs_by_task  # errors of the data are none of settings
        try:
            return build_model(net, outputs, self.recipe.data.size)
        except ValueError as e:
            raise SettingError(str(e)) from e

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

    @property
    def id_maps(self) -> tuple[str, ...]:
        """The outputs that the file gives as class ids and not as scores."""
        return self.task.class_maps if self.recipe.export.argmax else ()

    @cached_property
    def model(self) -> Model:
        """The float network with its best weights."""
        from xvision.train.checkpoint import load_weights

        model = self.build(weights=False)
        load_weights(model, self.folder / "checkpoints/best.safetensors")
        return model.eval()

    @cached_property
    def quantized(self) -> nn.Module:
        """The network as the device computes it, simulated."""
        from xvision.quant.state import load

        return load(self.model, self.folder / "quant/model.safetensors")

    @property
    def file(self) -> Path:
        return self.folder / "export/model.onnx"

    @property
    def record(self) -> Record:
        from xvision.runs.record import Record

        return Record.read(self.folder / "record.json")

    def evaluation(self) -> dict[str, Any]:
        """Metrics and tables by what was measured: float, int8 (simulated), onnx."""
        path = self.folder / "evaluation.json"
        return read_json(path) if path.exists() else {}

    def evaluate(self, key: str, model: Callable[..., Any]) -> dict[str, float]:
        """Measure a model on the validation split and keep the result in evaluation.json."""
        from xvision.train.loop import evaluate

        result = evaluate(model, self.task, self.loader("val"), console=self.console, inputs=self.inputs)
        classes = {field: list(names) for field, names in self.task.classes.items()}
        self.keep(key, {"metrics": result.metrics, "confusion": result.confusions}, classes)
        return result.metrics

    def keep(self, key: str, found: dict[str, Any], classes: dict[str, list[str]] | None = None) -> None:
        """Add to an entry of evaluation.json."""
        plain = self.evaluation()
        plain[key] = plain.get(key, {}) | found
        write_json(self.folder / "evaluation.json", plain | ({} if classes is None else {"classes": classes}))


def load_run(folder: Path, console: Console | None = None) -> Run:
    """The run in a folder; ValueError says what is missing."""
    if not (folder / "recipe.yaml").is_file():
        raise ValueError(
            f"{folder}: not a run folder (no recipe.yaml); `xvision run RECIPE --out {folder}` makes one"
        )
    return Run(folder, read_recipe(folder / "recipe.yaml"), console)


def load_trained(folder: Path) -> Run:
    """The run in a folder with the classes that its network has learned, whatever its data set is by now.

    Of a training that was interrupted the data set must say them. Raises: ValueError if nothing is trained there.
    """
    run = load_run(folder)
    if not (folder / "checkpoints/best.safetensors").is_file():
        raise ValueError(f"{folder}: nothing is trained there yet; `xvision train --resume {folder}` goes on")
    found = run.evaluation().get("classes")
    if not isinstance(found, dict):
        return run
    return Run(folder, run.recipe, run.console, {field: tuple(names) for field, names in found.items()})


def open_folder(recipe: Recipe, folder: Path, *, fresh: bool = False) -> Path:
    """Make or find the folder of a run; ValueError when it belongs to another recipe."""
    if fresh:
        set_aside(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder for the run, it is a file; choose another --out")
    if (folder / "recipe.yaml").exists():
        other = read_recipe(folder / "recipe.yaml")
        changed = differing_keys(other, recipe)
        foreign = [k for k in changed if not k.startswith(("quant.", "export."))]
        if foreign and _has_begun(folder):
            lines = "\n".join(f"  {k}: {changed[k][0]!r} there, {changed[k][1]!r} asked for" for k in foreign)
            raise ValueError(
                f"{folder} holds a run of another recipe:\n{lines}\n"
                f"choose another --out, or --fresh to move the old run aside"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: not empty and not a run (no recipe.yaml); choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def set_aside(folder: Path) -> None:
    """Rename a folder, if it is there, to the first free FOLDER.old-N."""
    n = 1
    while (old := folder.with_name(f"{folder.name}.old-{n}")).exists():
        n += 1
    if folder.exists():
        folder.rename(old)


@contextmanager
def leaving_nothing(folder: Path) -> Iterator[None]:
    """A run that fails in here, before it has begun, leaves no folder behind."""
    try:
        yield
    except BaseException:
        if not _has_begun(folder):
            (folder / "recipe.yaml").unlink(missing_ok=True)
            with suppress(OSError):  # something else lies there
                folder.rmdir()
        raise


def _has_begun(folder: Path) -> bool:
    """Whether a run has left anything worth keeping; one that failed at its start has not."""
    return bool(read_status(folder)["stages"]) or (folder / "checkpoints").exists()


def next_folder(name: str) -> Path:
    n = 1
    while (folder := Path("runs") / f"{name}-{n}").exists():
        n += 1
    return folder


def read_status(folder: Path) -> dict[str, Any]:
    """What each stage of the run read and left; empty for a new run."""
    path = folder / "status.json"
    if not path.exists():
        return {"stages": {}}
    status = read_json(path)
    if not isinstance(status, dict) or not isinstance(status.get("stages"), dict):
        raise ValueError(f"{path}: not a status file of a run; delete it and every stage runs again")
    return status
