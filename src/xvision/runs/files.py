"""The files of a run folder: their names, a typed reader and a writer for each, and the hash of what was written.

A stage writes into a folder of its own, `staging`. When it has succeeded `swap` puts all that lies there into its
place, status.json last: a stage that fails or is killed leaves the run as it was, and a swap that is killed is finished
by the next writer (`recover`). What a stage wrote is compared with its hash when it is read.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from xvision.config.messages import explain
from xvision.files import read_json, sha256, write_json, write_text
from xvision.quant.settings import Quant
from xvision.recipes.schema import Recipe, differing_keys, read_recipe
from xvision.runs.contents import (
    Analysed,
    Best,
    Calibration,
    LayerCost,
    Line,
    Sample,
    Status,
    TrainLine,
    ValLine,
)
from xvision.runs.measurements import Measurements
from xvision.runs.names import DEFAULT, FLOAT, stage_name
from xvision.runs.record import Affinity, ParityRow, Record, RungRow
from xvision.train.places import CHECKPOINTS, LOG

T = TypeVar("T")

RECIPE = "recipe.yaml"
STATUS = "status.json"
EVALUATION = "evaluation.json"
RECORD = "record.json"
REPORT = "report.html"
COST = "cost.json"
DRAWING = "architecture.svg"
BEST = f"{CHECKPOINTS}/best.safetensors"
BEST_INFO = f"{CHECKPOINTS}/best.json"
AFFINITY = "affinity.json"
SAMPLES = "samples/samples.json"

STAGING = ".staging"
SWAP = ".swap"  # a staging folder whose stage has succeeded
RETRAINING = ".training"  # of a network that is to take the place of a trained one
GONE = "gone.json"  # in a staging folder: what leaves the run at the swap


def quant_file(name: str, file_name: str) -> str:
    """A file about a quantization."""
    return f"quant/{name}/{file_name}"


def quantized(name: str) -> str:
    """The file of a quantization's network."""
    return quant_file(name, "model.safetensors")


def quant_section(name: str) -> str:
    """The `quant` section that a quantization was made with, as in recipe.yaml."""
    return quant_file(name, "quant.yaml")


def sensitivity_of(name: str) -> str:
    """Where a quantization loses its signal, where that was asked for."""
    return quant_file(name, "sensitivity.json")


def calibration_of(name: str) -> str:
    """The images that a quantization was found on."""
    return quant_file(name, "calibration.json")


def rungs_of(name: str) -> str:
    """What each step of a quantization gave and cost."""
    return quant_file(name, "rungs.json")


def quantizing(name: str) -> str:
    """The folder of a quantization's method that trains."""
    return f".quantizing-{name}"


def exported(network: str, file_name: str) -> str:
    """A file that a network was exported to."""
    return f"export/{network}/{file_name}"


def parity_of(network: str) -> str:
    """What verification found of a network's files."""
    return exported(network, "parity.json")


class ChangedFileError(ValueError):
    """A file is not what its stage wrote; `exit_code` is that stage's."""

    def __init__(self, path: Path, exit_code: int) -> None:
        super().__init__(
            f"{path}: expected the file that xvision wrote, got a changed one; delete it and `xvision run` makes it "
            "again, or start over with `xvision run --fresh`"
        )
        self.exit_code = exit_code


@dataclass(frozen=True)
class RunFiles:
    """The files of a run, at any moment those that belong together: of a swap under way or killed, the new ones.

    For the process that is `writing`, of those that the stage at work has staged, the staged ones.
    """

    folder: Path
    writing: bool = False

    # ------------------------------------------------------------------------------------------- places

    def path(self, name: str) -> Path:
        """Where a file is read."""
        swap = self.folder / SWAP
        for root in (self.folder / STAGING, swap) if self.writing else (swap,):
            if (root / name).exists():
                return root / name
        return swap / name if name in self._going() else self.folder / name

    def _going(self) -> list[str]:
        """What a swap that is under way, or was killed, takes away."""
        listed = self.folder / SWAP / GONE
        return read_json(listed) if listed.is_file() else []

    def new(self, name: str) -> Path:
        """Where a stage writes a file."""
        path = self.folder / STAGING / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def has(self, name: str) -> bool:
        return self.path(name).is_file()

    def checked(self, name: str) -> Path:
        """The path of a file to read, compared with the hash of what was written.

        Raises: ChangedFileError if it differs.
        """
        # another process may swap in between: look again before saying that a file was changed
        for _ in range(2):
            path, writer = self.path(name), self.status.writer(name)
            own = path.is_relative_to(self.folder / STAGING)
            if own or writer is None or not path.is_file() or sha256(path) == writer.outputs[name]:
                return path
        assert writer is not None
        raise ChangedFileError(path, writer.exit_code)

    def text(self, name: str) -> str:
        return self.checked(name).read_text(encoding="utf-8", errors="replace")

    @property
    def retraining(self) -> Path:
        """The folder of a training whose network is to take the place of one that is trained already."""
        return self.folder / RETRAINING

    @property
    def checkpoints(self) -> Path:
        return self.folder / CHECKPOINTS

    def results(self) -> dict[str, str]:
        """What people look for first, as far as it is there."""
        named = {"record": RECORD, "report": REPORT}
        return {key: str(self.folder / name) for key, name in named.items() if self.status.writer(name)}

    def exported(self) -> dict[str, dict[str, str]]:
        """The exported files by network, then by how their names end."""
        made = [name for done in self.status.stages.values() for name in done.outputs]
        found: dict[str, dict[str, str]] = {}
        for network in (FLOAT, *self.quantizations):
            folder = Path(parity_of(network)).parent
            files = [Path(n) for n in made if Path(n).parent == folder and n != parity_of(network)]
            if files:
                endings = {file.name.removeprefix("model").lstrip("._"): file for file in files}
                found[network] = {ending: str(self.folder / file) for ending, file in endings.items()}
        return found

    @classmethod
    def around(cls, file: Path) -> tuple[RunFiles, str] | None:
        """The run that a file lies in, and its name there; None if it lies in none."""
        for folder in list(file.parents)[:3]:
            if (folder / RECIPE).is_file() and (folder / STATUS).is_file():
                return cls(folder), file.relative_to(folder).as_posix()
        return None

    # ------------------------------------------------------------------------------------------- swap

    def stage(self) -> None:
        """An empty staging folder."""
        shutil.rmtree(self.folder / STAGING, ignore_errors=True)
        (self.folder / STAGING).mkdir(parents=True)

    def unstage(self) -> None:
        """Drop what a stage has staged that will not be put into place."""
        _remove(self.folder / STAGING)

    def staged(self) -> list[str]:
        """The names of what the stage at work has written."""
        root = self.folder / STAGING
        return sorted(file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file())

    def swap(self, status: Status, gone: Iterable[str] = ()) -> None:
        """Put what is staged into its place and take `gone` away: all of it, or after a kill all of it later."""
        self.write(STATUS, status)
        write_json(self.new(GONE), sorted(gone))
        (self.folder / STAGING).rename(self.folder / SWAP)
        self.recover()

    def recover(self) -> None:
        """Finish a swap that was killed, and drop what a stage that failed has left; for the only writer."""
        root = self.folder / SWAP
        if root.is_dir():
            for name in self._going():
                _remove(self.folder / name)
            files = [f for f in root.rglob("*") if f.is_file() and f.name != GONE]
            for file in sorted(files, key=lambda f: (f.name == STATUS, f)):
                place = self.folder / file.relative_to(root)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, place)
            shutil.rmtree(root, ignore_errors=True)
        self.unstage()
        for left in self.folder.rglob(".*.tmp"):
            _remove(left)

    # ------------------------------------------------------------------------------------------- writers

    def write(self, name: str, content: Any) -> None:
        """Stage one file: text as it is, all else as JSON."""
        if isinstance(content, str):
            write_text(self.new(name), content)
        elif isinstance(content, BaseModel):
            write_json(self.new(name), content.model_dump(mode="json"))
        else:
            write_json(self.new(name), content)

    def holds(self, recipe: Recipe) -> bool:
        """Whether recipe.yaml says the same; its comments and order are free."""
        return self.has(RECIPE) and self.recipe == recipe

    def keep_recipe(self, recipe: Recipe) -> None:
        """Write recipe.yaml where it says something else."""
        if not self.holds(recipe):
            write_text(self.folder / RECIPE, recipe.to_yaml())

    # ------------------------------------------------------------------------------------------- readers

    @property
    def status(self) -> Status:
        """What was done; empty for a new run.

        Raises: ValueError that names the file if it is broken.
        """
        path = self.path(STATUS)
        if not path.exists():
            return Status()
        try:
            return Status.model_validate(read_json(path))
        except ValidationError as e:
            raise ValueError(
                f"{path}: not a status file of a run ({'; '.join(explain(e)[:3])}); delete it and every stage runs "
                "again"
            ) from e

    @property
    def recipe(self) -> Recipe:
        """What recipe.yaml says."""
        return read_recipe(self.path(RECIPE))

    @property
    def made_with(self) -> Recipe:
        """The recipe that the run was made with.

        Raises: ValueError if recipe.yaml was edited since.
        """
        there, status = self.recipe, self.status
        made = Recipe.model_validate(status.recipe) if status.recipe else there
        if edited := differing_keys(made, there):
            lines = "\n".join(
                f"  {k}: {was!r} when it was made, {now!r} there" for k, (was, now) in edited.items()
            )
            raise ValueError(
                f"{self.folder / RECIPE} was edited since the run was made:\n{lines}\nundo that, and give changes as "
                "KEY=VALUE on the command line"
            )
        return there

    @property
    def quantizations(self) -> dict[str, Quant]:
        """The `quant` section of each quantization by its name, the recipe's own first."""
        made = {name: Quant.model_validate(plain) for name, plain in self.status.quantizations.items()}
        return {DEFAULT: self.recipe.quant, **made}

    @property
    def of_older_version(self) -> bool:
        """Whether the integer network lies where an older version put it, and is to be made again."""
        done = self.status.stages.get(stage_name("quantize", DEFAULT))
        return done is not None and quantized(DEFAULT) not in done.outputs

    @property
    def recipe_yaml(self) -> str:
        return self.path(RECIPE).read_text(encoding="utf-8", errors="replace")

    @property
    def evaluation(self) -> Measurements:
        """All that was measured; empty for a new run."""
        path, written = self.path(EVALUATION), self.status.evaluation
        if not path.exists():
            return Measurements()
        staged = path.is_relative_to(self.folder / STAGING)
        if written and not staged and sha256(path) != written:
            last = [done for done in self.status.stages.values() if done.measured][-1]
            raise ChangedFileError(path, last.exit_code)
        return self._read(EVALUATION, Measurements) or Measurements()

    @property
    def record(self) -> Record | None:
        return Record.read(self.checked(RECORD)) if self.has(RECORD) else None

    @property
    def parity(self) -> tuple[ParityRow, ...]:
        """What verification found, a row for each file, network by network."""
        names = [parity_of(network) for network in (FLOAT, *self.quantizations)]
        return tuple(row for name in names for row in self._read(name, list[ParityRow]) or ())

    def sensitivity(self, name: str) -> Analysed | None:
        """Where a quantization loses its signal; None if nobody has asked."""
        return self._read(sensitivity_of(name), Analysed)

    def rungs(self, name: str) -> tuple[RungRow, ...]:
        """What each step of a quantization gave and cost; nothing of methods that do not say."""
        return tuple(self._read(rungs_of(name), list[RungRow]) or ())

    def calibration(self, name: str) -> Calibration | None:
        """The images that a quantization was found on."""
        return self._read(calibration_of(name), Calibration)

    @property
    def affinity(self) -> Affinity | None:
        return self._read(AFFINITY, Affinity)

    @property
    def samples(self) -> list[Sample]:
        return self._read(SAMPLES, list[Sample]) or []

    def picture(self, sample: Sample) -> Path:
        """Where the picture of a sample lies."""
        return self.checked((Path(SAMPLES).parent / sample.image).as_posix())

    @property
    def layers(self) -> list[LayerCost]:
        return self._read(COST, list[LayerCost]) or []

    @property
    def best(self) -> Best | None:
        return self._read(BEST_INFO, Best)

    @cached_property
    def log(self) -> list[TrainLine | ValLine]:
        """The lines of metrics.jsonl in the order of steps."""
        return list(self._lines())

    def _lines(self) -> Iterator[TrainLine | ValLine]:
        file = self.path(LOG)
        lines = self.text(LOG).split("\n") if file.exists() else [""]
        schema: TypeAdapter[TrainLine | ValLine] = TypeAdapter(Line)
        for number, line in enumerate(lines[:-1], 1):  # what follows the last newline was torn by a kill
            try:
                yield schema.validate_json(line)
            except ValidationError as e:
                raise ValueError(f"{file}: line {number}: {'; '.join(explain(e))}; delete that line") from e

    def _read(self, name: str, schema: type[T]) -> T | None:
        """The checked content of a JSON file; None when there is no such file."""
        if not self.has(name):
            return None
        path = self.checked(name)
        try:
            return TypeAdapter(schema).validate_python(read_json(path))
        except ValidationError as e:
            raise ValueError(
                f"{path}: {'; '.join(explain(e))}; delete the file and run `xvision run` on the folder again"
            ) from e


def _remove(path: Path) -> None:
    """A file, or a folder with all in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):
            path.unlink()
