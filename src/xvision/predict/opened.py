"""Networks of a run or of a file, opened: what they take, what they find in images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xvision.config.parts import Parts
from xvision.data.crop import check_holds, cut_pixels
from xvision.data.dataset import Dataset
from xvision.data.framing import Framing, framing_of
from xvision.data.images import Array, Pixels, read_image
from xvision.data.loader import Loader
from xvision.export.contract import Executor
from xvision.models.inputs import Inputs
from xvision.predict.sources import Frame, split_of
from xvision.recipes.schema import Recipe
from xvision.runs.build import Classes, make_loader, open_split
from xvision.runs.measurements import Column
from xvision.runs.names import answering
from xvision.tasks.contract import Task
from xvision.tasks.multi import build_task
from xvision.tasks.view import Prediction
from xvision.train.forward import forward


@dataclass(frozen=True)
class Opened:
    """Networks that share a recipe, each with what runs it: those of a run, or that of an exported file."""

    recipe: Recipe
    classes: Classes
    executors: Mapping[Column, Executor]
    """By network and executor, in the order in which they were made."""

    def predict(self, image: str | Path | Pixels, previous: str | Path | Pixels | None = None) -> Prediction:
        """What the network that answers finds in one image: a file, or pixels (H, W, 3) uint8 in RGB.

        `previous` is the frame before it, for networks that see motion. Maps are as large as the image (of what
        `data.crop_rect` leaves of it).

        Raises: DataError for a file that is no image, ValueError for pixels of another kind.
        """
        ((_, prediction, _),) = self.find([frame_of(image, previous)])
        return prediction

    def find(self, frames: Sequence[Frame]) -> Iterator[tuple[Pixels, Prediction, Array | None]]:
        """Of each frame what of it is used, what the network that answers finds there, and the flow that it saw.

        Shapes: the flow (H, W, 2), in pixels of the network's input.

        Raises: DataError for a frame that `data.crop_rect` is not inside of.
        """
        data = self.recipe.data.model_copy(
            update={"cache": False, "mask_rect": None}
        )  # labels alone are masked
        for frame in frames:
            check_holds(frame.name, frame.image.shape[:2], data.crop_rect, None)
        loader = Loader(
            split_of(frames, self.inputs, data.flow),
            self.inputs.fields,
            data,
            batch_size=len(frames),
            train=False,
            seed=0,
            framing=self.framing,
        )
        (batch,) = loader.epoch(0)
        images = [cut_pixels(frame.image, data.crop_rect) for frame in frames]
        inverses = [batch["framing"].inverse(image.shape[:2]) for image in images]
        with torch.inference_mode():
            predictions = self.task.decode(forward(self.executor, batch, self.inputs), inverses)
        yield from zip(images, predictions, flows_of(batch), strict=True)

    @property
    def column(self) -> Column:
        """The network that answers, and what runs it: of several the recipe's own quantization, or the last one."""
        name = answering([network for network, _ in self.executors])
        return [column for column in self.executors if column[0] == name][-1]

    @property
    def executor(self) -> Executor:
        """What runs the network that answers."""
        return self.executors[self.column]

    @property
    def inputs(self) -> Inputs:
        """What the networks take."""
        return self.recipe.net.takes

    @property
    def task(self) -> Task:
        """The task with the classes that the network was trained for."""
        return build_task(self.recipe.task, self.classes)

    @property
    def framing(self) -> Framing:
        """How the networks see an image."""
        return framing_of(self.recipe.data, self.task.needs)

    def val_loader(self, dataset: Dataset) -> Loader:
        """The validation samples of a data set, each once in order, as the networks take them and with their labels."""
        task = self.task
        return make_loader(self.recipe, task, open_split(self.recipe, task, dataset, "val"))

    def measured_on(self, dataset: Dataset) -> Opened:
        """With those of the tasks alone that a data set has labels of; as it is if that is none, or all."""
        parts = zip(self.recipe.task, self.task.parts, strict=True)
        kept = {part: task for part, task in parts if set(task.needs) <= set(dataset.fields)}
        if not kept:
            return self
        recipe = self.recipe.model_copy(update={"task": Parts(self.recipe.task.registry, tuple(kept))})
        return replace(
            self, recipe=recipe, classes={f: n for task in kept.values() for f, n in task.classes.items()}
        )


def flows_of(batch: Mapping[str, Any]) -> list[Array | None]:
    """The flow (H, W, 2) of each sample in pixels of the network's input; None where the network takes none."""
    if "flow" not in batch:
        return [None] * len(batch["name"])
    return list(batch["flow"].permute(0, 2, 3, 1).contiguous().numpy())


def frame_of(image: str | Path | Pixels, previous: str | Path | Pixels | None = None) -> Frame:
    """An image, and the one before it (by default itself: nothing moved), as a frame.

    Raises: DataError for a file that is no image, ValueError for what is no image or of another size than the other.
    """
    pixels = _pixels("image", image)
    before = pixels if previous is None else _pixels("previous", previous)
    if before.shape != pixels.shape:
        sizes = [f"{one.shape[0]}x{one.shape[1]}" for one in (pixels, before)]
        raise ValueError(
            f"predict: expected an image and the one before it of one size, got {sizes[0]} and {sizes[1]}; "
            "give frames of one video"
        )
    return Frame("image" if isinstance(image, np.ndarray) else str(image), pixels, before)


def _pixels(who: str, image: str | Path | Pixels) -> Pixels:
    if isinstance(image, str | Path):
        return read_image(Path(image), str(image))
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(
            f"predict: expected {who} as a file, or as uint8 pixels (H, W, 3) in RGB, got {array.dtype} of shape "
            f"{'x'.join(map(str, array.shape))}; convert it"
        )
    return array
