"""Label maps that keep their own size beside images that show the whole sample."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xvision.data.dataset import Split
from xvision.data.framing import Framing
from xvision.data.loader import Loader
from xvision.data.settings import Data

SIZES = ((40, 60), (40, 60), (90, 30))


def load(i: int) -> dict[str, np.ndarray]:
    height, width = SIZES[i]
    label = np.arange(height * width, dtype=np.uint32).reshape(height, width) % 7
    return {"image": np.full((height, width, 3), 50 * i, np.uint8), "segmentation": label.astype(np.uint8)}


def digest() -> str:
    return "f" * 64


@pytest.fixture(params=[True, False], ids=["cached", "decoded"])
def loader(request: pytest.FixtureRequest) -> Loader:
    data = Data(dataset="image_folder", size=(8, 8), cache=request.param)
    split = Split(("a", "b", "c"), load, digest)
    return Loader(
        split, ("image", "segmentation"), data, batch_size=2, train=False, seed=0, framing=Framing("stretch"),
        native_size=("segmentation",),
    )  # fmt: skip


def test_labels_of_one_size_are_a_tensor_and_others_a_list(loader: Loader) -> None:
    first, second = loader.epoch(0)
    assert first["image"].shape == (2, 3, 8, 8)
    assert first["segmentation"].shape == (2, 40, 60)
    assert second["segmentation"].shape == (1, 90, 30)
    assert torch.equal(first["segmentation"][1], torch.from_numpy(load(1)["segmentation"]))
    loader.batch_size = 3
    (batch,) = loader.epoch(0)
    assert [tuple(label.shape) for label in batch["segmentation"]] == list(SIZES)


def test_the_whole_sample_is_seen() -> None:
    """A line at the very edge of a wide image is still there."""
    image = np.zeros((16, 64, 3), np.uint8)
    image[:, -8:] = 255
    split = Split(("wide",), lambda i: {"image": image}, digest)
    data = Data(dataset="image_folder", size=(16, 16), cache=False)
    whole, middle = (
        next(
            Loader(split, ("image",), data, batch_size=1, train=False, seed=0, framing=Framing(kind)).epoch(0)
        )["image"]
        for kind in ("stretch", "crop")
    )
    assert whole[..., -1].min() == 255
    assert middle.max() == 0
