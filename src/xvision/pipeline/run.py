"""The whole pipeline on one screen: data -> train -> quantize -> export -> verify -> report.

A run has the float network and any number of quantizations of it, each with a name; every network is exported and
verified for itself, so that one never makes another stale.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from xvision.console import Console
from xvision.pipeline import export, quantize, record, report, sensitivity, train, verify
from xvision.pipeline.stage import Stage, blaming, bring_up_to_date, read_by, reading
from xvision.recipes.idle import idle_settings
from xvision.recipes.schema import Recipe, digest
from xvision.runs.build import complete
from xvision.runs.checks import (
    check_alone,
    check_moved,
    check_quantizable,
    check_recipe,
    check_settings,
    check_unchanged,
)
from xvision.runs.files import BEST, RECIPE, RunFiles
from xvision.runs.folder import claim, leaving_nothing, next_folder, set_aside
from xvision.runs.lock import locked
from xvision.runs.names import DEFAULT, FLOAT
from xvision.runs.run import Run
from xvision.train.allocator import keep_memory
from xvision.train.hardware import use_threads
from xvision.train.processes import Processes, init

STEPS = ("train", "quantize", "sensitivity", "export", "verify", "record", "report")


def run(
    recipe: Recipe, out: str | Path | None = None, *, quantization: str | None = None, until: str = "report",
    fresh: bool = False, keep_trained: bool = False, refresh: bool = True, console: Console | None = None,
    analysis: tuple[int, int] | None = None,
) -> Run:  # fmt: skip
    """Bring the run folder `out` up to date with `recipe`, up to and with the step `until`.

    With a `quantization` the recipe's `quant` section is that of the quantization of this name, and of the run's
    quantizations this one alone is brought up to date; without, all are, and the section is that of the default one.

    With an `analysis` the sensitivity of the quantization is measured too, on so many images and labelled images.

    A network that was trained on data which has changed since is trained again, unless `keep_trained`. `refresh`: what
    was proved or measured under other versions of the libraries is made again.

    Raises ValueError when `out` holds a different recipe, FolderInUse while another process writes there, DataError
    when its network was trained on other data (and is to be kept, or the data was to be the same in another place),
    StageError when a stage fails, VerificationError when a file computes something else than its network.
    """
    keep_memory()
    processes, console = init(), console or Console(quiet=True)
    last = STEPS.index(until)
    if processes.world > 1 and out is None:
        raise ValueError("--out: several processes must agree on a folder; name one")
    folder = Path(out) if out else next_folder(recipe.name)
    said = console if processes.is_first else None
    this = _opened(folder, complete(recipe), quantization, said, processes, fresh=fresh)
    if analysis is not None:
        this.analysed = {quantization or DEFAULT: analysis}
    with _writing(this, fresh=fresh, alone=quantization):
        use_threads(recipe.train.threads, processes.local_world)
        names = list(this.quantizations) if quantization is None else [quantization]
        networks = [FLOAT, *names] if quantization is None else names
        to_quantize = not this.files.has(BEST) and last >= STEPS.index("quantize")
        data = _check(this, keep_trained=keep_trained, to_quantize=names if to_quantize else [])
        stages, left = _stages(this), dict[str, str]()
        for stage in stages:
            if not _is_wanted(this, stage, networks, last):
                continue
            if stage.step == "record":
                before = record.before(this)
            else:
                before = left[stage.after[0]] if stage.after else data
            left[stage.name] = bring_up_to_date(this, stage, before, reading(stage, stages), refresh=refresh)
        if processes.is_first:
            this.files.keep_recipe(this.recipe)
    if last >= STEPS.index("verify"):
        verify.check(this, networks)
    return this


def _opened(
    folder: Path, recipe: Recipe, name: str | None, console: Console | None, processes: Processes, *, fresh: bool
) -> Run:  # fmt: skip
    """The run; where the recipe quantizes under a name, recipe.yaml keeps the `quant` section that it has."""
    asked, there = {DEFAULT if name is None else name: recipe.quant}, RunFiles(folder)
    if DEFAULT not in asked and not fresh and there.has(RECIPE):
        recipe = recipe.model_copy(update={"quant": there.recipe.quant})
    return Run(folder, recipe, console, processes, quantizations=asked, writing=True)


def _stages(run: Run) -> list[Stage]:
    """All stages of the run, each after those that it reads."""
    names = list(run.quantizations)
    networks = [FLOAT, *names]
    made = [
        train.STAGE,
        *map(quantize.stage, names),
        *map(sensitivity.stage, names),
        *map(export.stage, networks),
        *map(verify.stage, networks),
    ]
    return [*made, replace(record.STAGE, after=tuple(stage.name for stage in made)), report.STAGE]


def _is_wanted(run: Run, stage: Stage, networks: list[str], last: int) -> bool:
    """Whether a stage is of these networks and has something to do, or to take away; the record always is."""
    if stage.step != "record" and STEPS.index(stage.step) > last:
        return False
    if stage.network and stage.network not in networks:
        return False
    return stage.applies(run) or stage.name in run.files.status.stages


@contextmanager
def _writing(run: Run, *, fresh: bool, alone: str | None) -> Iterator[None]:
    """Be the one that writes into the folder; without anything done in it, it does not stay."""
    if not run.processes.is_first:
        run.processes.barrier()
        yield
        return
    if fresh and run.folder.exists():
        claim(run.folder, "run")
        with locked(run.folder, run.console.warn):
            set_aside(run.folder, "run")
    claim(run.folder, "run")
    with locked(run.folder, run.console.warn), leaving_nothing(run.folder, "run"):
        run.files.recover()
        check_recipe(run)
        if alone is not None:
            check_alone(run, alone)
        check_unchanged(run)
        run.processes.barrier()
        try:
            yield
        finally:
            run.files.unstage()


def _check(run: Run, *, keep_trained: bool, to_quantize: list[str]) -> str:
    """Say what is there, refuse what cannot be done; the digest of the data."""
    with blaming("data", 2), warnings.catch_warnings(record=True) as said:  # a DataError says 3 itself
        warnings.simplefilter("always")
        found = run.dataset
    for warning in said:
        run.warn(str(warning.message))
    splits = ", ".join(f"{name} {len(split)}" for name, split in found.splits.items())
    run.console.print(f"data  {found.name}: {splits}; {', '.join(found.fields)}")
    for classes in run.task.classes.values():
        some = ", ".join(classes[:8]) + (", …" if len(classes) > 8 else "")
        run.console.print(f"{len(classes)} classes  {some}")
    for line in (*idle_settings(run.recipe), *run.task.advice(run.inputs.fields)):
        run.warn(line)
    if run.files.of_older_version:
        run.console.warn(f"{run.folder}: {run.older_version}")
    check_settings(run)
    for line in _advice(run):
        run.warn(line)
    with blaming("data", 3):
        before = digest(run.digests)
    check_moved(run, read_by(run, train.STAGE, before), keep=keep_trained)
    if to_quantize:
        check_quantizable(run, to_quantize)
    if run.processes.is_first and not run.files.status.stages:
        run.files.keep_recipe(run.recipe)
    return before


def _advice(run: Run) -> list[str]:
    """What the number of training samples makes worth changing."""
    from xvision.data.loader import training_batches

    if not run.recipe.train.epochs:
        return []
    settings, num_samples = run.recipe.train, len(run.dataset.splits["train"])
    return settings.advice(
        num_samples, training_batches(num_samples, settings.batch_size * run.processes.world)
    )
