"""What a network finds in frames: brought to its input, computed, and back in the frames' own pixels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from xvision.data.crop import check_holds, cut_pixels
from xvision.data.images import Array, Pixels, read_image
from xvision.data.loader import Loader
from xvision.predict.open import Opened
from xvision.predict.sources import Frame, split_of
from xvision.tasks.view import Prediction
from xvision.train.forward import forward


def find(opened: Opened, frames: Sequence[Frame]) -> Iterator[tuple[Pixels, Prediction, Array | None]]:
    """Of each frame what of it is used, what the last network finds there, and the flow that the network saw.

    Shapes: the flow (H, W, 2), in pixels of the network's input.

    Raises: DataError for a frame that `data.crop_rect` is not inside of.
    """
    data = opened.recipe.data.model_copy(
        update={"cache": False, "mask_rect": None}
    )  # labels alone are masked
    for frame in frames:
        check_holds(frame.name, frame.image.shape[:2], data.crop_rect, None)
    loader = Loader(
        split_of(frames, opened.inputs, data.flow),
        opened.inputs.fields,
        data,
        batch_size=len(frames),
        train=False,
        seed=0,
        framing=opened.framing,
    )
    (batch,) = loader.epoch(0)
    images = [cut_pixels(frame.image, data.crop_rect) for frame in frames]
    inverses = [batch["framing"].inverse(image.shape[:2]) for image in images]
    with torch.inference_mode():
        predictions = opened.task.decode(forward(opened.last, batch, opened.inputs), inverses)
    yield from zip(images, predictions, flows_of(batch), strict=True)


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
