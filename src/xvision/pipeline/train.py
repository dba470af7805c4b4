"""Stage: train the network, or with no epochs keep the weights as they are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from xvision.pipeline.stage import Left, Measured, Stage, torch_version
from xvision.recipes.schema import digest
from xvision.runs.files import AFFINITY, BEST, BEST_INFO, RETRAINING
from xvision.runs.names import FLOAT
from xvision.runs.run import Run
from xvision.train.places import CHECKPOINTS, LOG, TENSORBOARD, Places

if TYPE_CHECKING:
    from xvision.data.loader import Loader


def _execute(run: Run) -> Left:
    from xvision.train.loop import keep

    folder = _folder(run)
    if run.recipe.train.epochs == 0:
        keep(run.build(), Places.inside(folder), run.task.classes)
    else:
        _train(run, folder)
    if not run.processes.is_first:
        return Left()
    left = Left(tuple(n for n in (BEST, BEST_INFO, LOG) if run.files.has(n)))
    if folder != run.folder:
        _stage_all(folder, run)
        old = [f.relative_to(run.folder).as_posix() for f in run.files.checkpoints.glob("*")]
        staged = set(run.files.staged())
        left = Left(gone=(*(set(old) - staged), RETRAINING), unlisted=tuple(staged - {BEST, BEST_INFO, LOG}))
    run.changed()
    _affinity(run)
    return left


def _folder(run: Run) -> Path:
    """Where to train: in the run, or beside the trained network whose place the new one is to take."""
    return run.files.retraining if "train" in run.files.status.stages else run.folder


def _train(run: Run, folder: Path) -> None:
    from xvision.train.loop import train

    recipe = run.recipe.deciding()
    loader, val_loader = _loaders(run)
    if line := run.task.prepare(loader.split):
        run.console.print(line)
    train(
        run.build(),
        run.task,
        loader,
        val_loader,
        run.recipe.train,
        Places.inside(folder),
        seed=run.recipe.seed,
        console=run.console,
        identity=digest([run.digests, recipe["data"], recipe["net"], recipe["task"]]),
        processes=run.processes,
    )


def _loaders(run: Run) -> tuple[Loader, Loader]:
    """Of training and validation. Raises: DataError for the damaged files of both."""
    from xvision.data.dataset import DataError

    found, problems = [], []
    for split in ("train", "val"):
        try:
            found.append(run.loader(split, train=split == "train", shared=True))
        except DataError as e:
            problems.append(str(e))
    if problems:
        raise DataError("\n".join(problems))
    return found[0], found[1]


def _stage_all(folder: Path, run: Run) -> None:
    """What a new training has left, beside the old; it stays where it is until the swap."""
    for name in (CHECKPOINTS, LOG, TENSORBOARD):
        for file in [folder / name] if (folder / name).is_file() else (folder / name).rglob("*"):
            if file.is_file():
                new = run.files.new(file.relative_to(folder).as_posix())
                try:
                    os.link(file, new)
                except OSError:  # a file system without links
                    shutil.copy2(file, new)


def _affinity(run: Run) -> None:
    if run.recipe.train.epochs and len(run.task.parts) > 1:
        from xvision.train.affinity import affinity
        from xvision.train.hardware import on_accelerator

        with on_accelerator(run.model):
            found = affinity(run.model, run.task, run.loader("train", train=True))
        run.files.write(AFFINITY, found)


def _measured(run: Run) -> Measured:
    from xvision.export.executors import executor
    from xvision.train.hardware import on_accelerator

    with on_accelerator(run.model):
        yield FLOAT, executor.pytorch().build(run.model)


STAGE = Stage(
    "train",
    _execute,
    keys=("data", "net", "task", "train", "seed"),
    exit_code=4,
    needed=(BEST,),
    measured=_measured,
    version=torch_version,
    several=True,
)
