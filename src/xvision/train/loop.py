"""The training loop.

A *step* is one update of the weights, from `accumulate` batches. Everything that changes from step to step
follows from (seed, step): the order of the data, the learning rate, the random numbers. So a checkpoint is the
weights, the optimizer's state and the number of the step, and a training that resumes from it ends with the same
bits as one that was never stopped.

The device is never waited for within a step: losses stay on it and are read every `log_every` steps, which is
when a NaN is noticed; its step and its files are still known then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING

from torch import nn

from xvision.console import Console
from xvision.data.resources import explaining_resources
from xvision.train.budget import steps_within
from xvision.train.checkpoint import Checkpoints, about
from xvision.train.evaluation import Evaluation, evaluate
from xvision.train.places import Places
from xvision.train.processes import Processes
from xvision.train.regime import PLAIN, Regime
from xvision.train.settings import Train
from xvision.train.signals import Signals
from xvision.train.training import Trained, Training

if TYPE_CHECKING:
    from xvision.data.loader import Loader
    from xvision.models.inputs import Inputs
    from xvision.models.model import Model
    from xvision.tasks.contract import Task

__all__ = ["Evaluation", "Trained", "evaluate", "keep", "train"]


def train(
    model: nn.Module,
    task: Task,
    train_loader: Loader,
    val_loader: Loader,
    settings: Train,
    places: Places,
    *,
    seed: int,
    console: Console,
    identity: str = "",
    processes: Processes = Processes(),
    inputs: Inputs | None = None,
    regime: Regime = PLAIN,
) -> Trained:
    """Train `model`, or continue from the last checkpoint in `places`; it ends with the best weights.

    `inputs` is what it takes, by default what its own `inputs` says; `regime` what is special about its training.

    `identity` is a digest of whatever else decides the result (the data, the network): a checkpoint with
    another one is set aside and the training starts again.

    Raises: TrainingError (a loss that is not finite, no disk, another process that ended), ResourceError (no memory)
    and, with the state saved, Interrupted.
    """

    def planned(model: nn.Module, settings: Train, num_steps: int = 0) -> Training:
        loaders = train_loader, val_loader
        return Training(
            model,
            task,
            *loaders,
            settings,
            places,
            seed,
            console,
            identity,
            processes,
            num_steps,
            inputs,
            regime,
        )

    with explaining_resources(), processes.explaining_peers():
        num_steps = 0
        if settings.minutes:
            copy = planned(deepcopy(model), settings.model_copy(update={"tensorboard": False}))
            num_steps = copy.known_steps() or steps_within(settings.minutes, copy)
            num_steps = min(num_steps, settings.max_steps or num_steps)
            copy.console.print(
                f"{settings.minutes:g} minutes: {num_steps} steps, {copy.epochs(num_steps):.3g} epochs"
            )
            del copy
        t = planned(model, settings, num_steps)
        t.resume()
        with Signals(console) as signals, t.log, t.console.progress("training", t.total_steps, t.step) as bar:
            while t.state.validated_step < t.total_steps:
                for batches in t.rest_of_epoch():
                    t.update(batches)
                    bar.advance(1)
                    t.between_steps(signals, bar)
                t.validate(signals, bar)
                t.save()
            trained = t.finish()
    if signals.received:  # in the last save
        raise t.interrupted(signals.received)
    return trained


def keep(model: Model, places: Places, classes: Mapping[str, Sequence[str]]) -> None:
    """Zero epochs: the weights as they are become the best ones."""
    manifest = {"step": 0, "metrics": {}, "ema": 0.0, **about(model.inputs, classes)}
    Checkpoints(places.checkpoints).save_best(manifest, model.state_dict())
