"""What a quantization method gets: a trained network, the numbers to compute with, data, and a folder to work in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from torch import Tensor, fx, nn

from xvision.console import Console
from xvision.quant.numbers import QuantScheme
from xvision.train.processes import Processes

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from xvision.data.loader import Loader
    from xvision.quant.settings import Quant
    from xvision.tasks.contract import Task
    from xvision.train.settings import Train


@dataclass(frozen=True)
class Context:
    """Everything that a method may use; loaders are made when they are called for.

    Every process of a run calls the method. `calibration` gives the same images to all of them, so that each finds
    the same ranges with nothing exchanged; the labelled loaders give each process its share of the batches. A method
    returns the same network in every process.
    """

    network: nn.Module
    """The trained float network, which the method leaves as it is."""
    scheme: QuantScheme
    calibration: Callable[[], Iterable[tuple[Tensor, ...]]]
    """Batches of training images as the network takes them, not augmented; each call gives them from the first."""
    task: Task | None = None
    train_loader: Callable[[int], Loader] | None = None
    """Labelled, augmented batches for training, each of so many samples (0: as many as the network was trained on)."""
    val_loader: Callable[[], Loader] | None = None
    judging: Callable[[int], Loader] | None = None
    """Labelled training images, not augmented, beyond the first so many of calibration; every process gets all."""
    num_train: int = 0
    """Training images that there are."""
    quantized: fx.GraphModule | None = None
    """The network as a method before this one has quantized it: where a training begins, with a copy of it."""
    settings: Quant | None = None
    """The `quant` section of the recipe."""
    train: Train | None = None
    """The `train` section of the recipe: how the network was trained."""
    folder: Path | None = None
    """Where a method may keep checkpoints to resume from; in a run it is of this network and these settings alone."""
    program: ExportedProgram | None = None
    """What the network of these inputs was exported to before it was trained, where it was."""
    seed: int = 0
    console: Console = field(default_factory=lambda: Console(quiet=True))
    processes: Processes = field(default_factory=Processes)

    def labelled(self, batch_size: int = 0) -> tuple[Task, Loader, Loader]:
        """The task and the labelled loaders, training and validation, of a method that trains.

        `batch_size`: of the training loader, see there.

        Raises: ValueError if there are calibration images only.
        """
        if self.task is None or self.train_loader is None or self.val_loader is None:
            raise ValueError(
                "method: expected a task and labelled data to train with, got calibration images only; "
                "quantize a run (`xvision quantize RUN`) or choose another method, such as ptq"
            )
        return self.task, self.train_loader(batch_size), self.val_loader()

    def for_judging(self) -> tuple[Task, Callable[[int], Loader], int]:
        """The task, labelled images to judge by (see `judging`), and the number of training images that there are.

        Raises: ValueError if there are calibration images only.
        """
        if self.task is None or self.judging is None:
            raise ValueError(
                "method: expected a task and labelled data to judge by, got calibration images only; quantize a run "
                "(`xvision quantize RUN`) or choose another method, such as ptq"
            )
        return self.task, self.judging, self.num_train
