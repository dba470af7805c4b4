"""What a stage is: a step of the pipeline, what decides whether it must run again, and how it is brought up to date.

status.json keeps for every stage a digest of what it read (the recipe's keys, the data, what the stages before left)
and the hashes of what it left. A stage runs when the digest has changed or a file is gone; so a rerun executes nothing,
a changed ``quant`` key starts at quantize, an edited image at train. It writes beside the old result, which is swapped
for it, with the marks of what has become stale, when it has succeeded.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xvision.data.resources import ResourceError, explaining_resources
from xvision.files import sha256
from xvision.recipes.schema import digest
from xvision.runs.contents import Done, Status
from xvision.runs.environment import source_state
from xvision.runs.files import EVALUATION, RECIPE
from xvision.runs.measurements import Measurements
from xvision.runs.names import stage_name

if TYPE_CHECKING:
    from xvision.export.contract import Executor
    from xvision.runs.run import Run

Measured = Iterable[tuple[str, "Executor"]]
"""Networks of a run and what computes them."""
Sections = dict[str, dict[str, Any]]
"""The `quant` sections of quantizations by their names, in plain values."""


@dataclass(frozen=True)
class Left:
    """What a stage has left beside the files that it staged."""

    in_place: tuple[str, ...] = ()
    """Files that it wrote where they belong, such as those that a training resumes from."""
    gone: tuple[str, ...] = ()
    """Files that no longer belong to the run."""
    unlisted: tuple[str, ...] = ()
    """Files that it staged for itself alone, such as those that a training resumes from: no results."""


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline, of the run or of one of its networks."""

    step: str
    execute: Callable[[Run], Left]
    """Stages files (`run.files.new`, `run.files.write`), or raises; called in the first process alone, or in all."""
    keys: tuple[str, ...]
    """Keys of the recipe that it reads."""
    exit_code: int
    network: str = ""
    """Whose step it is, where each network has its own."""
    after: tuple[str, ...] = ()
    """The stages whose results it reads."""
    applies: Callable[[Run], bool] = lambda run: True
    """Whether there is anything to do for it, by the recipe."""
    quantizes: Callable[[Run], Sections] = lambda run: {}
    """The quantization that it makes: its `quant` section by its name."""
    asks: Callable[[Run], Any] = lambda run: None
    """What decides over it that is in no recipe, in plain values."""
    needed: tuple[str, ...] = ()
    """What later stages read of the files that it leaves: without one it runs again; all of them if none is named."""
    reads: tuple[str, ...] = ()
    """Files that it reads beside what the stages before it left."""
    measured: Callable[[Run], Measured] = lambda run: ()
    """The networks that it brings to be measured."""
    version: Callable[[Run], str] = lambda run: ""
    """Of what measures its networks: under another one the figures are stale, and the result too where it `proves`."""
    proves: bool = False
    several: bool = False
    """Whether all processes take part."""

    @property
    def name(self) -> str:
        return stage_name(self.step, self.network) if self.network else self.step


class StageError(ValueError):
    """A stage failed for a reason that the user can fix; `exit_code` is what the command returns."""

    def __init__(self, stage: str, exit_code: int, cause: BaseException) -> None:
        super().__init__(f"{stage}: {cause}")
        own = None if isinstance(cause, ResourceError) else getattr(cause, "exit_code", None)
        self.exit_code: int = exit_code if own is None else own


@contextmanager
def blaming(stage: str, exit_code: int) -> Iterator[None]:
    """Errors that the user can fix, and memory that runs out, as this stage's."""
    try:
        with explaining_resources():
            yield
    except (ValueError, OSError) as e:
        raise StageError(stage, exit_code, e) from e


def reading(stage: Stage, stages: Iterable[Stage]) -> list[Stage]:
    """Those of `stages`, each after those that it reads, that read what a stage leaves, directly or through others."""
    found, names = [], {stage.name}
    for other in stages:
        if names & {*other.after}:
            found.append(other)
            names.add(other.name)
    return found


def bring_up_to_date(run: Run, stage: Stage, before: str, later: Iterable[Stage], *, refresh: bool) -> str:
    """Execute the stage if what it reads has changed; the digest of what the next stage reads.

    `refresh`: also what another version of a library has proved or measured is made again.
    """
    inputs = read_by(run, stage, before)
    done = run.files.status.stages.get(stage.name)
    current = _is_current(run, stage, done, inputs, refresh)
    stale = _stale(run, stage, done, refresh) if current else True
    if current and not stale:
        run.console.print(f"{stage.name}: up to date")
    elif current and done is not None:
        run.console.print(f"{stage.name}: up to date, measured again")
        _measure_again(run, stage, done)
    else:
        run.console.print(f"{stage.name} …")
        _execute(run, stage, inputs, later)
    return _handed_on(stage, run.files.status.stages[stage.name])


def _needed(stage: Stage, done: Done) -> tuple[str, ...]:
    return stage.needed or tuple(done.outputs)


def _handed_on(stage: Stage, done: Done) -> str:
    """The digest of what the next stage reads."""
    # of an older version some may have had other names
    return digest([done.inputs, {name: done.outputs.get(name) for name in _needed(stage, done)}])


def read_by(run: Run, stage: Stage, before: str) -> str:
    """The digest of all that a stage reads."""
    plain = run.recipe.deciding() | {"places": run.recipe.places}
    files = {name: sha256(path) for name in stage.reads if (path := run.files.path(name)).is_file()}
    settings = {key: plain[key] for key in stage.keys}
    if sections := stage.quantizes(run):
        settings["quant"] = sections
    if (asked := stage.asks(run)) is not None:
        settings["asked"] = asked
    return digest({"before": before, "files": files, **settings})


def _is_current(run: Run, stage: Stage, done: Done | None, inputs: str, refresh: bool) -> bool:
    if done is None or done.inputs != inputs or not all(map(run.files.has, _needed(stage, done))):
        return False
    return not (refresh and stage.proves and done.version != stage.version(run))


def _stale(run: Run, stage: Stage, done: Done | None, refresh: bool) -> bool:
    """Whether figures of the stage are missing, or of another version."""
    found = run.files.evaluation
    if done is None or None in [found.version(column) for column in done.measured]:
        return True
    return refresh and done.version != stage.version(run)


def _execute(run: Run, stage: Stage, inputs: str, later: Iterable[Stage]) -> None:
    run.processes.barrier()
    if run.processes.is_first:
        run.files.stage()
    if run.processes.is_first or stage.several:
        started, commit = _now(), source_state(Path(__file__).parents[1])
        wall, cpu = time.perf_counter(), sum(os.times()[:4])
        with blaming(stage.name, stage.exit_code):
            left = stage.execute(run)
        if run.processes.is_first:
            with blaming(stage.name, stage.exit_code):
                found = _measure(run, stage)
            staged = {*run.files.staged(), *left.in_place} - {*left.unlisted}
            done = Done(
                inputs=inputs,
                outputs={name: sha256(run.files.path(name)) for name in sorted(staged)},
                measured=found.columns,
                version=stage.version(run),
                exit_code=stage.exit_code,
                started=started,
                commit=commit[0],
                dirty=commit[1],
                wall_s=round(time.perf_counter() - wall, 2),
                cpu_s=round(sum(os.times()[:4]) - cpu, 2),
            )
            was = run.files.status.stages.get(stage.name)
            same = was is not None and _handed_on(stage, was) == _handed_on(stage, done)
            with blaming(stage.name, stage.exit_code):
                _swap(run, stage, done, found, left.gone, () if same else later)
    run.processes.barrier()


def _measure_again(run: Run, stage: Stage, done: Done) -> None:
    run.processes.barrier()  # each has read the status before one changes it
    if run.processes.is_first:
        run.files.stage()
        with blaming(stage.name, stage.exit_code):
            found = _measure(run, stage)
            made = {"measured": found.columns, "version": stage.version(run)}
            _swap(run, stage, done.model_copy(update=made), found, (), ())
    run.processes.barrier()


def _measure(run: Run, stage: Stage) -> Measurements:
    found = Measurements()
    for network, executor in stage.measured(run):
        found = found.joined(run.measure(network, executor))
    return found


def _swap(
    run: Run, stage: Stage, done: Done, found: Measurements, gone: Iterable[str], later: Iterable[Stage]
) -> None:
    """Put the new result in the place of the old one; what the `later` stages left is of other inputs, and goes."""
    status = run.files.status
    redone = {stage.name, *(s.name for s in later)}
    old = [was for name, was in status.stages.items() if name in redone]
    stale = {column for was in old for column in was.measured} - set(found.columns)
    evaluation = run.files.evaluation.without(stale).joined(found)
    kept = {name: was for name, was in status.stages.items() if name not in redone or name == stage.name}
    away = {name for was in old for name in was.outputs} | set(gone)
    run.files.write(EVALUATION, evaluation)
    if not run.files.holds(run.recipe):
        run.files.write(RECIPE, run.recipe.to_yaml())
    new = Status(
        recipe=run.recipe.to_dict(),
        recipe_id=run.recipe.id,
        quantizations={**status.quantizations, **stage.quantizes(run)},
        evaluation=sha256(run.files.path(EVALUATION)),
        stages=kept | {stage.name: done},
    )
    run.files.swap(new, away - done.outputs.keys())


def torch_version(run: Run) -> str:
    """Of what computes the networks."""
    import torch

    return f"torch {torch.__version__}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
