"""A network, a task and in-memory data that train in milliseconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from xvision.models.pixels import Pixels
from xvision.tasks.classification import Classification
from xvision.tasks.task import Task


class TinyNet(nn.Module):
    """Two convolutions with dropout, so that random numbers matter too."""

    def __init__(self, *, norm: bool = True, dropout: float = 0.1, seed: int = 0) -> None:
        super().__init__()
        torch.default_generator.manual_seed(seed)
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


class TinyLoader:
    """The loader's interface over random images whose mean colour tells their class."""

    def __init__(
        self, num_samples: int = 40, batch_size: int = 8, *, train: bool = True, seed: int = 0, rank: int = 0,
        world: int = 1,
    ) -> None:  # fmt: skip
        generator = torch.Generator().manual_seed(7)
        self.labels = torch.arange(num_samples) % 3
        self.images = torch.randint(0, 160, (num_samples, 3, 8, 8), generator=generator, dtype=torch.uint8)
        self.images[torch.arange(num_samples), self.labels] += 40
        self.num_samples, self.batch_size, self.train, self.seed = num_samples, batch_size, train, seed
        self.rank, self.world = rank, world

    def _batches(self, epoch: int) -> list[Tensor]:
        if not self.train:
            return list(torch.arange(self.num_samples)[self.rank :: self.world].split(self.batch_size))
        order = torch.randperm(
            self.num_samples, generator=torch.Generator().manual_seed(1000 * self.seed + epoch)
        )
        size = self.batch_size * self.world
        whole = [b for b in order.split(size) if len(b) == size]
        return [b[self.rank * self.batch_size :][: self.batch_size] for b in whole]

    def __len__(self) -> int:
        return len(self._batches(0))

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[dict[str, Any]]:
        for index in self._batches(epoch)[start_batch:]:
            names = [f"image_{i}.png" for i in index.tolist()]
            yield {"image": self.images[index], "class": self.labels[index], "index": index, "name": names}


def tiny_task() -> Task:
    return Classification(("red", "green", "blue"), 0.0)
