"""A run: a recipe in a folder, and everything that can be made from it, each when it is first asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from xvision.console import Console
from xvision.quant.settings import Quant
from xvision.recipes.schema import Recipe
from xvision.runs import build
from xvision.runs.build import Classes
from xvision.runs.files import BEST, RECIPE, RunFiles, exported, quantized
from xvision.runs.measure import measure
from xvision.runs.measurements import Measurements
from xvision.runs.names import DEFAULT, FLOAT, check_known
from xvision.train.processes import Processes

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.export import ExportedProgram

    from xvision.data.dataset import Dataset, Split
    from xvision.data.framing import Framing
    from xvision.data.loader import Loader
    from xvision.export.contract import Executor, Format
    from xvision.models.inputs import Inputs
    from xvision.models.model import Model
    from xvision.runs.contents import Calibration
    from xvision.runs.record import Record
    from xvision.tasks.contract import Task


class Run:
    """A recipe in a folder; without a recipe, what is in the folder.

    `classes` are those of a network that is trained, by field: with them nothing but measuring and calibration needs
    the data set. A run that is read from its folder knows them; of a training that was interrupted the data set must
    say them. `quantizations` are to be made: the `quant` section of each by its name; of others the run's own counts.

    Raises: ValueError if there is no run in the folder, or its recipe was edited.
    """

    def __init__(
        self,
        folder: str | Path,
        recipe: Recipe | None = None,
        console: Console | None = None,
        processes: Processes | None = None,
        classes: Classes | None = None,
        *,
        quantizations: Mapping[str, Quant] | None = None,
        writing: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.files = RunFiles(self.folder, writing)
        if recipe is None:
            self._check_there()
            recipe, classes = self.files.made_with, classes or self.files.evaluation.classes or None
        self.recipe = recipe
        self.console = console or Console(quiet=True)
        self.processes = processes or Processes()
        self.warnings: list[str] = []
        """What a reader of the results should know: of the data above all, such as a unit that is probably wrong."""
        self.program: ExportedProgram | None = None
        """The network's, where it was exported before its training (see `check_quantizable`)."""
        self.analysed: dict[str, tuple[int, int]] = {}
        """Quantizations whose sensitivity is asked for: on how many images, and on how many labelled ones."""
        self._classes = classes
        self._asked = dict(quantizations or {})
        self._quantized: dict[str, nn.Module] = {}

    def _check_there(self) -> None:
        if not self.files.has(RECIPE):
            raise ValueError(
                f"{self.folder}: not a run folder (no recipe.yaml); `xvision run RECIPE --out {self.folder}` makes one"
            )

    def check_trained(self) -> None:
        """Raise ValueError if nothing is trained there, or its integer network was made by an older version."""
        if not self.files.has(BEST):
            raise ValueError(
                f"{self.folder}: nothing is trained there yet; `xvision train --resume {self.folder}` continues"
            )
        if self.files.of_older_version:
            raise ValueError(f"{self.folder}: {self.older_version}")

    @property
    def older_version(self) -> str:
        """What to do about an integer network that an older version has made."""
        return (
            f"its {DEFAULT} network was made by an older version of xvision, whose files lie elsewhere; "
            f"`xvision quantize {self.folder}` makes it again"
        )

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

    def loader(
        self,
        split: str,
        *,
        train: bool = False,
        shared: bool = False,
        framed: bool = False,
        batch_size: int = 0,
    ) -> Loader:
        """Batches of a split: augmented and shuffled for training, else every sample once in order.

        `shared` among the processes of the run, each its own; else each sees all. Maps of labels keep their own size
        for measuring, but with `framed` are brought to the input's as the images are. `batch_size` 0 is the recipe's.
        """
        processes = self.processes if shared else Processes()
        return build.make_loader(
            self.recipe,
            self.task,
            self.split(split),
            train=train,
            processes=processes,
            framed=framed,
            batch_size=batch_size,
        )

    def planes(self, split: str) -> Iterator[tuple[Tensor, ...]]:
        """The un-augmented inputs of a split as the network takes them."""
        for batch in self.loader(split).epoch(0):
            yield self.inputs.encode(batch)

    def calibration(self) -> Iterator[tuple[Tensor, ...]]:
        """Un-augmented inputs drawn from all over the training split, never from the split that is reported."""
        return build.calibration_inputs(self.recipe, self.task, self.split("train"))

    def calibrated_on(self, num_images: int) -> Calibration:
        """The first images of calibration."""
        return build.calibrated_on(self.recipe, self.split("train"), self.digests["train"], num_images)

    def judging(self, num_calibration: int) -> Loader:
        """Labelled training images, not augmented, that are none of the first ones of calibration."""
        return build.judging_loader(
            self.recipe,
            self.task,
            self.split("train"),
            num_calibration=num_calibration,
            num_val=len(self.dataset.splits["val"]),
        )

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

    @property
    def quantized(self) -> nn.Module:
        """The network as the device computes it, simulated: of the quantization that the recipe describes."""
        return self.network(DEFAULT)

    def changed(self) -> None:
        """Forget the networks: a stage has written one, or has had one in its hands."""
        vars(self).pop("model", None)
        self._quantized.clear()

    @property
    def quantizations(self) -> dict[str, Quant]:
        """The `quant` section of each quantization by its name: of those to be made, and of those that were."""
        made = {name: Quant.model_validate(plain) for name, plain in self.files.status.quantizations.items()}
        return {DEFAULT: self.recipe.quant, **made, **self._asked}

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of the networks that the run has, in the order of the pipeline."""
        files = {FLOAT: BEST} | {name: quantized(name) for name in self.quantizations}
        return tuple(name for name, file in files.items() if self.files.has(file))

    def network(self, name: str) -> nn.Module:
        """A network by its name: float, or a quantization, as the device computes it, simulated.

        Raises: ValueError if the run has none of this name, ChangedFileError if its file is not what was written.
        """
        from xvision.quant.state import load

        check_known(self.folder, name, self.networks)
        if name == FLOAT:
            return self.model
        if name not in self._quantized:
            self._quantized[name] = load(self.files.checked(quantized(name)))
        return self._quantized[name]

    def recipe_of(self, network: str) -> Recipe:
        """The recipe that makes a network: with the `quant` section of its quantization."""
        sections = self.quantizations
        return self.recipe.model_copy(update={"quant": sections[network]} if network in sections else {})

    def formats(self, network: str) -> list[Format]:
        """The formats that the recipe names for a network."""
        made = [part.build() for part in self.recipe.export.format]
        return [one for one in made if one.quantized == (network != FLOAT)]

    @staticmethod
    def exported(network: str, one: Format) -> str:
        """The file of a format, relative to the folder."""
        return exported(network, one.file_name)

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
