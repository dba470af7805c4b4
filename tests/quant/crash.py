"""A training that ends without a word: nothing is saved, as after a kill."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from xvision.data.batches import Batch
from xvision.data.loader import Loader
from xvision.quant.context import Context


class Crash(Exception):
    pass


class Crashing:
    """A loader that ends the process, so to say, before it gives its batch number `at`, counted over all epochs."""

    def __init__(self, loader: Loader, at: int) -> None:
        self.loader, self.left, self.num_samples = loader, at, loader.num_samples

    def __len__(self) -> int:
        return len(self.loader)

    def epoch(self, epoch: int, start_batch: int = 0, sizes: Any = None) -> Iterator[Batch]:
        for batch in self.loader.epoch(epoch, start_batch, sizes):
            self.left -= 1
            if self.left == 0:
                raise Crash
            yield batch


def crashing(context: Context, at: int) -> Context:
    given = context.train_loader
    assert given is not None
    return replace(context, train_loader=lambda size: Crashing(given(size), at))  # type: ignore[arg-type, return-value]
