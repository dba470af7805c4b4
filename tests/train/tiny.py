"""A network, a task and in-memory data that train in milliseconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from xvision.data.dataset import Sample, Split
from xvision.data.datasets import dataset
from xvision.data.framing import Framing
from xvision.data.loader import Loader
from xvision.data.settings import Data
from xvision.models.inputs import Inputs
from xvision.models.pixels import Pixels
from xvision.tasks.classification import Classification
from xvision.tasks.contract import Task
from xvision.train.places import Places


class TinyNet(nn.Module):
    """Two convolutions with dropout, so that random numbers matter too."""

    def __init__(self, *, norm: bool = True, dropout: float = 0.1) -> None:
        super().__init__()
        torch.default_generator.manual_seed(0)
        self.inputs = Inputs()
        self.pixels = Pixels("rgb")
        self.conv1 = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(8, 3)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        x = self.norm(self.conv1(self.pixels(image))).relu()
        x = self.dropout(self.conv2(x).relu().mean(dim=(2, 3)))
        return {"class": self.head(x)}


def places(folder: Path) -> Places:
    """Where a training writes in a folder of a test."""
    return Places.inside(folder)


def _load(i: int) -> Sample:
    """8x8 noise in which the colour that is a little stronger tells the class."""
    image = np.random.default_rng(i).integers(0, 160, (8, 8, 3), dtype=np.uint8)
    image[..., i % 3] += 40
    return {"image": image, "class": np.asarray(i % 3)}


def tiny_loader(
    num_samples: int = 40,
    batch_size: int = 8,
    *,
    train: bool = True,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    size: tuple[int, int] = (8, 8),
) -> Loader:
    data = Data(dataset=dataset.cifar10(), size=size, cache=False)
    return Loader(
        Split(tuple(f"image_{i}.png" for i in range(num_samples)), _load, str),
        ("image", "class"),
        data,
        batch_size=batch_size,
        train=train,
        seed=0,
        framing=Framing("crop"),
        workers=workers,
        rank=rank,
        world=world,
    )


def tiny_task() -> Task:
    return Classification(("red", "green", "blue"), 0.0)
