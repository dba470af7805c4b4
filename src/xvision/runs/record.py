"""Records: what a run achieved, with everything needed to repeat and to check it.

A `Record` is one run with one seed; it lies in the run folder as `record.json`. A `Summary` is the same recipe with
several seeds; it lies in `results/` and holds every single record. Tables in README and docs are made from these files,
never typed.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xvision.config.messages import explain
from xvision.config.sizes import Size
from xvision.files import read_json, write_json
from xvision.recipes.schema import Recipe, differing_keys, flatten
from xvision.runs.measurements import Measurement

Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class JsonFile(_Frozen):
    """Something that lies in a JSON file of its own."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """The content of the file; ValueError names the file and every field that is wrong."""
        plain = read_json(path)
        try:
            return cls.model_validate(plain)
        except ValidationError as e:
            what = cls.__name__.lower()
            raise ValueError(
                f"{path}: not a {what}: {'; '.join(explain(e))}; write it again from its run"
            ) from e

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write_json(path, self.model_dump(mode="json"))


class Machine(_Frozen):
    """What the run was computed on."""

    processor: str
    cores: Count
    threads: Count
    gpu: str = ""


class StageTime(_Frozen):
    """When and by which code a stage was executed, and the seconds it took: on the clock, and of all processors."""

    started: str
    commit: str
    dirty: bool
    wall_s: float
    cpu_s: float


class SplitData(_Frozen):
    """A split of the data set: its length, and the sha256 of its list of names and contents."""

    num_samples: Count
    sha256: Sha256


class Complexity(_Frozen):
    """Multiply-accumulates and parameters of the network at one input size."""

    macs: Count
    params: Count
    size: Size


class HeadCost(_Frozen):
    """What one head adds to the network: multiply-accumulates and parameters."""

    macs: Count
    params: Count


class Affinity(_Frozen):
    """How far the gradients of tasks agree on the shared encoder: mean cosines over batches of training samples."""

    tasks: tuple[str, ...]
    cosines: tuple[tuple[float | None, ...], ...]
    """None where two tasks were never labelled together."""
    samples: Count


class LevelRow(_Frozen):
    """Simulation and runtime at one optimisation level of the runtime."""

    max_lsb: Count
    max_error: float = 0.0
    agreement: float
    tensors: Count


class ParityRow(_Frozen):
    """What verification found: the largest difference of integer codes, and the smallest share of equal answers."""

    network: str
    reference: str
    """The executor of the network that was compared with, and `executor` the one of `file`."""
    executor: str
    file: str
    version: str = ""
    """Of what ran the network and the file: under another one the proof is stale."""
    ok: bool
    tolerance_lsb: Count = 0
    """The largest difference that the scheme allows."""
    max_lsb: Count
    max_error: float = 0.0
    """Of outputs without integer codes, as a share of the largest value."""
    agreement: float
    levels: dict[str, LevelRow]
    first_difference: str | None = None
    images: Count


class Artefact(_Frozen):
    """A file that the run left."""

    sha256: Sha256
    bytes: Count


class Record(JsonFile):
    """What one run achieved.

    `metrics` are rows: network, executor, split, metric, value, unit; shares are in percent. Keys of `artefacts` are
    paths relative to the run folder. A run that never reached a stage has no entry for it. `heads` and `affinity` are
    of networks with several tasks; `parity` has a row for each exported file; `warnings` are those of settings and
    data, such as a unit that is probably wrong. `migrated` says what was renamed in a record of an older form, and
    `former_recipe_id` how its recipe was called then.
    """

    name: str
    recipe: dict[str, Any]
    recipe_id: str
    source: str = ""
    expect: dict[str, float] = {}
    seed: Count
    started: str
    stages: dict[str, StageTime]
    data: dict[str, SplitData]
    classes: dict[str, tuple[str, ...]]
    cost: Complexity
    heads: dict[str, HeadCost] = {}
    affinity: Affinity | None = None
    primary: str
    metrics: tuple[Measurement, ...]
    parity: tuple[ParityRow, ...] = ()
    warnings: tuple[str, ...] = ()
    migrated: str = ""
    former_recipe_id: str = ""
    artefacts: dict[str, Artefact]
    commit: str
    dirty: bool
    versions: dict[str, str]
    machine: Machine


def outdated(record: Record, recipe: Recipe) -> dict[str, tuple[Any, Any]]:
    """Why a record is not of a recipe: dotted keys with the value recorded and today's.

    A setting that the record lacks is one that came later: it must stand at its default. So a new setting makes no
    record stale, and a changed default does.
    Raises: ValueError if the record holds a setting that is gone.
    """
    try:
        then = Recipe.model_validate(record.recipe)
    except ValidationError as e:
        raise ValueError(f"record of {record.name}: {'; '.join(explain(e))}; make it anew") from e
    return differing_keys(then, recipe)


class Statistics(_Frozen):
    """A metric over several seeds."""

    mean: float
    min: float
    max: float
    values: tuple[float, ...]


class SummaryRow(_Frozen):
    """One figure over several seeds."""

    network: str
    executor: str
    split: str
    metric: str
    unit: str
    statistics: Statistics


class Summary(JsonFile):
    """What a recipe achieved over several seeds: statistics, and every single record in the order of seeds."""

    name: str
    seeds: tuple[int, ...]
    metrics: tuple[SummaryRow, ...]
    records: tuple[Record, ...]


def aggregate(records: Sequence[Record]) -> Summary:
    """Statistics over runs that differ in nothing but the seed.

    Raises ValueError when there is no record, when a seed occurs twice, or when recipes, data or metrics differ.
    """
    if not records:
        raise ValueError("records: expected at least one, got none")
    records = sorted(records, key=lambda r: r.seed)
    first, seeds = records[0], [r.seed for r in records]
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"{first.name}: expected every seed once, got {seeds}; leave the repeated runs out")
    problems = [problem for other in records[1:] for problem in _differences(first, other)]
    if problems:
        raise ValueError(
            f"{first.name}: the records are not of one recipe with several seeds:\n  " + "\n  ".join(problems)
        )
    rows = tuple(
        SummaryRow(
            **dict(zip(_KEY, key, strict=True)),
            unit=row.unit,
            statistics=_statistics([float(_by_key(r)[key].value or 0.0) for r in records]),
        )
        for key, row in _by_key(first).items()
        if row.value is not None
    )
    return Summary(name=first.name, seeds=tuple(seeds), metrics=rows, records=tuple(records))


_KEY = ("network", "executor", "split", "metric")


def _by_key(record: Record) -> dict[tuple[str, ...], Measurement]:
    return {tuple(getattr(row, name) for name in _KEY): row for row in record.metrics}


def _differences(a: Record, b: Record) -> list[str]:
    """Why two records cannot be put together, one line per reason."""
    x, y = (
        flatten({k: v for k, v in r.recipe.items() if k not in ("seed", "expect", "source")}) for r in (a, b)
    )
    pairs = {f"recipe.{k}": (x.get(k), y.get(k)) for k in sorted(x.keys() | y.keys())}
    pairs |= {f"data.{k}": (a.data.get(k), b.data.get(k)) for k in sorted(a.data.keys() | b.data.keys())}
    pairs |= {"metrics": (sorted(_by_key(a)), sorted(_by_key(b)))}
    return [
        f"{k}: {v!r} with seed {a.seed}, {w!r} with seed {b.seed}" for k, (v, w) in pairs.items() if v != w
    ]


def _statistics(values: Sequence[float]) -> Statistics:
    return Statistics(mean=sum(values) / len(values), min=min(values), max=max(values), values=tuple(values))


# ---------------------------------------------------------------------------------------------- environment

PACKAGES = {"xvision": "edgeai-xvision"} | {p: p for p in ("torch", "torchvision", "timm", "onnxruntime")}


def environment() -> dict[str, Any]:
    """The fields of a record that say with what it was made: commit, dirty, versions, machine."""
    import torch

    commit, dirty = source_state(Path(__file__).parents[1])
    machine = Machine(
        processor=_processor(),
        cores=os.cpu_count() or 1,
        threads=torch.get_num_threads(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else "",
    )
    versions = {"python": platform.python_version()}
    versions |= {name: importlib.metadata.version(package) for name, package in PACKAGES.items()}
    return {"commit": commit, "dirty": dirty, "versions": versions, "machine": machine}


def source_state(package: Path) -> tuple[str, bool]:
    """The commit of the checkout that a package lies in, and whether its files differ from it.

    An installed package has no checkout: its version is the answer, even when the folder around the environment
    happens to be somebody else's repository.
    """

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(package), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip()

    commit = (
        git("rev-parse", "--short", "HEAD") if git("ls-files", "--error-unmatch", "__init__.py") else None
    )
    if commit is None:
        return importlib.metadata.version(PACKAGES["xvision"]), False
    return commit, bool(git("status", "--porcelain", "--", "."))


def _processor() -> str:
    """The processor's name as its maker writes it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
