"""One training: its data and its progress, and what happens between steps and after an epoch."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from xvision.console import Console, Progress
from xvision.models.inputs import Inputs
from xvision.models.model import Model
from xvision.train.checkpoint import Checkpoints, Manifest, about
from xvision.train.errors import Interrupted, NonFiniteLossError
from xvision.train.evaluation import evaluate
from xvision.train.forward import Batch
from xvision.train.learner import Learner
from xvision.train.log import Log
from xvision.train.losses import Losses
from xvision.train.places import Places
from xvision.train.processes import Processes
from xvision.train.regime import PLAIN, Regime
from xvision.train.schedules import factor
from xvision.train.settings import FREE, Train
from xvision.train.signals import Signals
from xvision.train.sizes import size_at

if TYPE_CHECKING:
    from xvision.data.loader import Loader
    from xvision.tasks.contract import Task

ADVICE = "look at those samples, or lower train.optimizer.lr, or set train.clip_norm"


@dataclass(frozen=True)
class Trained:
    """What a training reached and where it lies."""

    best: dict[str, float]
    """Metrics of the best validation."""
    best_step: int
    history: list[dict[str, Any]]
    """One entry per validation: step, epoch and metrics."""
    best_path: Path
    last_path: Path
    steps: int
    seconds: float
    """Wall time with validation and checkpoints, over all the parts of an interrupted training."""
    cpu_seconds: float
    img_per_s: float
    """Images trained on per second of training alone, over all processes."""


class Training:
    """Learner, data and progress of one training."""

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        train_loader: Loader,
        val_loader: Loader,
        settings: Train,
        places: Places,
        seed: int,
        console: Console,
        identity: str,
        processes: Processes,
        num_steps: int = 0,
        inputs: Inputs | None = None,
        regime: Regime = PLAIN,
    ) -> None:
        """`num_steps` is what a budget of time allows; without one the settings say it. `inputs`: see `Learner`."""
        self.processes = processes
        self.task, self.settings, self.seed = task, settings, seed
        self.train_loader, self.val_loader = train_loader, val_loader
        self.console = console if processes.is_first else Console(quiet=True)
        self.learner = Learner(model, task, settings, seed, self.console, processes, inputs, regime)

        self.steps_per_epoch = settings.steps_per_epoch(len(train_loader))
        self.total_steps = num_steps or settings.num_steps(len(train_loader))
        self.schedule = settings.schedule.build(self.total_steps / self.steps_per_epoch)

        self.checkpoints = Checkpoints(places.checkpoints)
        tensorboard = places.tensorboard if settings.tensorboard else None
        self.log = Log(places.log, tensorboard=tensorboard, enabled=processes.is_first)
        self.losses = Losses(self.learner.accelerator, ("loss", *task.terms))
        self.state = Manifest(self._identity(identity), step=0, epoch=0, num_steps=self.total_steps)
        self.latest_loss = math.nan
        self.started = self.saved = self.mark = time.monotonic()
        self.cpu_started = _cpu_seconds()
        self.samples_at_mark = 0

    @property
    def step(self) -> int:
        """Steps done."""
        return self.state.step

    # ------------------------------------------------------------------------------------------- the start

    def epochs(self, num_steps: int) -> float:
        """How often the data is seen in so many steps."""
        return num_steps / self.steps_per_epoch

    def known_steps(self) -> int:
        """The number of steps that an interrupted part of this training began with; 0 if there is none."""
        last = self.checkpoints.read_manifest()
        return last.num_steps if last and last.identity == self.state.identity else 0

    def resume(self) -> None:
        """Resume from the last checkpoint, if there is one of this training."""
        found = self.checkpoints.load_last()
        if found is None:
            self.log.rewind(-1, -1)
            return
        manifest, weights, state = found
        if manifest.identity != self.state.identity:
            self.processes.barrier()
            if self.processes.is_first:
                old = self.checkpoints.set_aside()
                self.console.warn(f"the checkpoints are of another training; they are in {old} now")
            self.log.rewind(-1, -1)
            return
        if self.processes.is_first:
            self.checkpoints.tidy(manifest)
        self.learner.load(weights, state, manifest.scalars, self.checkpoints.last)
        self.state = manifest
        manifest.num_steps = self.total_steps
        self.samples_at_mark = manifest.num_samples
        self.started -= manifest.seconds
        self.cpu_started -= manifest.cpu_seconds
        self.log.rewind(manifest.step, manifest.validated_step)
        self.console.print(f"resuming after step {manifest.step} of {self.total_steps}")

    def _identity(self, given: str) -> str:
        settings = self.settings.model_dump(mode="json", exclude=set(FREE))
        what = [settings, self.seed, self.processes.world, self.train_loader.num_samples, given]
        return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]

    # ---------------------------------------------------------------------------------------------- a step

    def rest_of_epoch(self) -> Iterator[list[Batch]]:
        """The batches of each step up to the next validation."""
        epoch, done = divmod(self.step, self.steps_per_epoch)
        left = min(self.steps_per_epoch - done, self.total_steps - self.step)
        if self.step > max(self.state.validated_step, 0) and (done == 0 or left == 0):
            return  # it was stopped between the last step of an epoch and the validation
        self.learner.learn()
        batches = self.train_loader.epoch(epoch, done * self.settings.accumulate, self._sizes(epoch))
        for _ in range(left):
            yield list(islice(batches, self.settings.accumulate))

    def size_at(self, progress: float) -> tuple[int, int]:
        """Height and width of the input when a share of the training is done."""
        model = self.learner.model
        assert isinstance(model, Model), type(model)
        return size_at(progress, model.size, self.settings.start_size_ratio, model.size_divisor)

    def _sizes(self, epoch: int) -> Callable[[int], tuple[int, int]] | None:
        """Height and width of each batch of an epoch, alike within a step; None where they stay."""
        if self.settings.start_size_ratio == 1:
            return None
        first, per_step = epoch * self.steps_per_epoch, self.settings.accumulate
        return lambda batch: self.size_at((first + batch // per_step) / self.total_steps)

    def update(self, batches: Sequence[Batch]) -> None:
        """One step of the weights."""
        losses = self.learner.update(batches, self.step, self.total_steps, self.rate)
        self.state.step += 1
        if self.step % self.steps_per_epoch == 0:
            self.learner.balancing.end_epoch()
        self.state.num_samples += sum(len(b["name"]) for b in batches) * self.processes.world
        self.losses.add(self.step, losses, [name for batch in batches for name in batch["name"]])

    @property
    def rate(self) -> float:
        """Learning rate of the next step."""
        return self.learner.lr * factor(
            self.schedule, self.step, self.steps_per_epoch, self.settings.warmup_epochs
        )

    # ------------------------------------------------------------------------------- between steps and epochs

    def between_steps(self, signals: Signals, bar: Progress) -> None:
        """Log and save when it is time; save and stop when a signal was received."""
        regular = self.step % self.settings.log_every == 0
        if self.processes.world > 1 and not regular:
            return  # the processes agree when they meet anyway
        late = time.monotonic() - self.saved > 60 * self.settings.checkpoint_minutes
        signum, due = self._largest(signals.received, int(late))
        if regular or signum or due:
            self.read_losses(bar)
        if signum or due:
            self.save()
        if signum:
            raise self.interrupted(signum)

    def read_losses(self, bar: Progress) -> None:
        """Log the average losses since the last time; NonFiniteLossError if one is NaN or infinite."""
        try:
            losses = self.losses.read()
            self.losses.check_weights(self.learner.model)
        except NonFiniteLossError as e:
            raise NonFiniteLossError(f"{e}; {self.checkpoints.describe()}; {ADVICE}") from None
        if not losses:
            return
        now = time.monotonic()
        num_samples = self.state.num_samples - self.samples_at_mark
        self.state.train_seconds += now - self.mark
        self.latest_loss = losses.pop("loss")
        self.log.write(
            {
                "step": self.step,
                "epoch": round(self.step / self.steps_per_epoch, 4),
                "lr": self.learner.optimizer.param_groups[0]["lr"],
                "loss": self.latest_loss,
                "terms": losses,
                "img_per_s": round(num_samples / (now - self.mark), 1),
            }
        )
        bar.advance(0, epoch=f"{self.step / self.steps_per_epoch:.1f}", loss=self.latest_loss)
        self.mark, self.samples_at_mark = now, self.state.num_samples

    def validate(self, signals: Signals, bar: Progress) -> None:
        """Measure the network (its moving average, if there is one); keep it if it is the best so far."""
        self.read_losses(bar)
        if not self._validation_is_due:
            self.state.validated_step = self.step
            return
        self.learner.share_buffers()
        started = time.monotonic()
        stop_at_once = signals.raising() if self.processes.world == 1 else contextlib.nullcontext()
        try:
            with stop_at_once, self.learner.accelerator.autocast():
                metrics = evaluate(
                    self.learner.averaged,
                    self.task,
                    self.val_loader,
                    device=self.learner.device,
                    console=self.console,
                    inputs=self.learner.inputs,
                    processes=self.processes,
                ).metrics
        except Interrupted as e:
            self.save()
            raise self.interrupted(e.signal) from None
        state, primary = self.state, self.task.primary
        state.validated_step = self.step
        epoch = round(self.step / self.steps_per_epoch, 4)
        if self.task.improves(metrics[primary], state.best.get(primary, math.nan)):
            state.best, state.best_step = metrics, self.step
            self._save_best(self.learner.averaged)
        state.history.append({"step": self.step, "epoch": epoch, "metrics": metrics})
        seconds = round(time.monotonic() - started, 2)
        self.log.write({"step": self.step, "epoch": epoch, "val": metrics, "seconds": seconds})
        bar.advance(0, best=state.best[primary])
        self.console.print(
            f"epoch {epoch:.3g}/{self.total_steps / self.steps_per_epoch:.3g}  step {self.step}  "
            f"loss {self._loss_text}  {primary} {metrics[primary]:.4g}  best {state.best[primary]:.4g}"
        )
        self.mark = time.monotonic()

    @property
    def _loss_text(self) -> str:
        """The latest loss; after a resume there may be none yet."""
        return "–" if math.isnan(self.latest_loss) else f"{self.latest_loss:.4g}"

    @property
    def _validation_is_due(self) -> bool:
        epoch = self.step // self.steps_per_epoch
        return self.step == self.total_steps or epoch % self.settings.validate_every == 0

    def save(self) -> None:
        """Write the checkpoint `last`: everything the next step depends on."""
        state = self.state
        state.epoch = round(self.step / self.steps_per_epoch, 4)
        state.seconds = time.monotonic() - self.started
        state.cpu_seconds = _cpu_seconds() - self.cpu_started
        tensors, state.scalars = self.learner.state()
        if self.processes.is_first:
            self.checkpoints.save_last(state, self.learner.model.state_dict(), tensors)
        self.saved = self.mark = time.monotonic()

    def _save_best(self, model: nn.Module) -> None:
        if self.processes.is_first:
            manifest = {
                "step": self.step,
                "num_steps": self.total_steps,
                "metrics": self.state.best,
                "ema": self.settings.ema,
            }
            self.checkpoints.save_best(
                manifest | about(self.learner.inputs, self.task.classes), model.state_dict()
            )

    def finish(self) -> Trained:
        """Put the best weights into the model."""
        self.processes.barrier()
        self.learner.finish(self.checkpoints.best)
        state = self.state
        return Trained(
            best=state.best,
            best_step=state.best_step,
            history=state.history,
            best_path=self.checkpoints.best,
            last_path=self.checkpoints.last,
            steps=state.step,
            seconds=state.seconds,
            cpu_seconds=state.cpu_seconds,
            img_per_s=state.num_samples / max(state.train_seconds, 1e-9),
        )

    def _largest(self, *values: int) -> list[int]:
        """Each value's maximum over the processes."""
        if self.processes.world == 1:
            return list(values)
        gathered = self.learner.accelerator.gather(torch.tensor([values], device=self.learner.device))
        return [int(v) for v in gathered.max(dim=0).values]

    def interrupted(self, signum: int) -> Interrupted:
        return Interrupted(
            signum,
            f"{signal.Signals(signum).name} after step {self.step} of {self.total_steps}; the state is saved in "
            f"{self.checkpoints.last}, and the same command continues from there",
        )


def _cpu_seconds() -> float:
    return sum(os.times()[:4])
