"""The whole pipeline on one screen: data -> train -> quantize -> export -> verify -> report."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xvision.console import Console
from xvision.pipeline import export, quantize, record, report, train, verify
from xvision.pipeline.stage import blaming, bring_up_to_date, read_by
from xvision.recipes.idle import idle_settings
from xvision.recipes.schema import Recipe, digest
from xvision.runs.build import complete
from xvision.runs.checks import (
    check_moved,
    check_quantizable,
    check_recipe,
    check_settings,
    check_unchanged,
)
from xvision.runs.files import BEST
from xvision.runs.folder import claim, leaving_nothing, next_folder, set_aside
from xvision.runs.lock import locked
from xvision.runs.run import Run
from xvision.train.allocator import keep_memory
from xvision.train.hardware import use_threads
from xvision.train.processes import init

STAGES = (train.STAGE, quantize.STAGE, export.STAGE, verify.STAGE, record.STAGE, report.STAGE)


def run(
    recipe: Recipe, out: str | Path | None = None, *, until: str = "report", fresh: bool = False,
    keep_trained: bool = False, refresh: bool = True, console: Console | None = None,
) -> Run:  # fmt: skip
    """Bring the run folder `out` up to date with `recipe`, up to and with the stage `until`.

    A network that was trained on data which has changed since is trained again, unless `keep_trained`. `refresh`: what
    was proved or measured under other versions of the libraries is made again.

    Raises ValueError when `out` holds a different recipe, FolderInUse while another process writes there, DataError
    when its network was trained on other data (and is to be kept, or the data was to be the same in another place),
    StageError when a stage fails, VerificationError when a file computes something else than its network.
    """
    keep_memory()
    processes, console = init(), console or Console(quiet=True)
    last = [stage.name for stage in STAGES].index(until)
    if processes.world > 1 and out is None:
        raise ValueError("--out: several processes must agree on a folder; name one")
    folder = Path(out) if out else next_folder(recipe.name)
    said = console if processes.is_first else None
    this = Run(folder, complete(recipe), said, processes, writing=True)
    with _writing(this, fresh=fresh):
        use_threads(recipe.train.threads, processes.local_world)
        to_quantize = not this.files.has(BEST) and quantize.STAGE in STAGES[: last + 1]
        before = _check(this, keep_trained=keep_trained, to_quantize=to_quantize)
        for i, stage in enumerate(STAGES):
            if stage is record.STAGE:
                before = record.before(this)
            elif last < i:
                continue
            before = bring_up_to_date(this, stage, before, STAGES[i + 1 :], refresh=refresh)
        if processes.is_first:
            this.files.keep_recipe(this.recipe)
    if last >= STAGES.index(verify.STAGE):
        verify.check(this)
    return this


@contextmanager
def _writing(run: Run, *, fresh: bool) -> Iterator[None]:
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
        check_unchanged(run)
        run.processes.barrier()
        try:
            yield
        finally:
            run.files.unstage()


def _check(run: Run, *, keep_trained: bool, to_quantize: bool) -> str:
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
    check_settings(run)
    for line in _advice(run):
        run.warn(line)
    with blaming("data", 3):
        before = digest(run.digests)
    check_moved(run, read_by(run, train.STAGE, before), keep=keep_trained)
    if to_quantize:
        check_quantizable(run)
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
