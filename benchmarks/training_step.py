"""The training of a recipe, one step at a time, as scripts of benchmarks/ time it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from xvision.console import Console
from xvision.data.batches import Batch
from xvision.data.loader import Loader
from xvision.recipes.schema import Recipe
from xvision.runs.build import complete
from xvision.runs.run import Run
from xvision.train.places import Places
from xvision.train.processes import Processes
from xvision.train.training import Training


def make_training(
    recipe: Recipe, folder: Path, processes: Processes = Processes()
) -> tuple[Training, Loader]:
    """What `xvision train` makes of a recipe, from random weights and in training mode, and its loader."""
    run = Run(folder, complete(recipe), processes=processes)
    loader = run.loader("train", train=True, shared=True)
    training = Training(
        run.build(weights=False),
        run.task,
        loader,
        run.loader("val", shared=True),
        recipe.train,
        Places.inside(folder),
        recipe.seed,
        Console(quiet=True),
        "",
        processes,
    )
    training.learner.learn()
    return training, loader


def endless(loader: Loader) -> Iterator[Batch]:
    """The batches of one epoch after the other."""
    for epoch in itertools.count():
        yield from loader.epoch(epoch)
