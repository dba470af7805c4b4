"""A budget of time: how many steps fit into it, found by timing some that are thrown away."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch

from xvision.train.evaluation import evaluate
from xvision.train.forward import Batch

if TYPE_CHECKING:
    from xvision.data.loader import Loader
    from xvision.train.training import Training

_GRID = 16  # places in the training whose input sizes are timed
_WARM_UP = 2  # steps of a size that are not timed: workers start, kernels are chosen
_LEAST, _MOST = 3, 20  # timed steps of a size
_SHARE = 0.03  # of the budget, for timing
_VAL_BATCHES = 4


def steps_within(minutes: float, copy: Training) -> int:
    """The number of optimizer steps that fit into `minutes`, with the validations among them, in the slowest process.

    `copy` is a training like the one that is planned; its weights are worth nothing afterwards. What the timing takes
    counts as spent.
    """
    started, seconds = time.monotonic(), 60 * minutes
    sizes: Mapping[tuple[int, int] | None, int] = {None: _GRID}
    if copy.settings.start_size_ratio < 1:
        sizes = Counter(copy.size_at(i / _GRID) for i in range(_GRID))
    limit = _SHARE * seconds / (len(sizes) + 1)
    copy.learner.learn()
    step_s = sum(num * _step_seconds(copy, size, limit) for size, num in sizes.items()) / _GRID
    validation_s = _validation_seconds(copy)
    left = seconds - (time.monotonic() - started) - validation_s
    interval = copy.steps_per_epoch * copy.settings.validate_every
    steps = max(1, int(left / (step_s + validation_s / interval)))
    return int(-_largest(-steps, copy))


def _step_seconds(copy: Training, size: tuple[int, int] | None, limit: float) -> float:
    """Of a step on inputs of a size; None is that of the loader."""
    steps = _steps(copy.train_loader, copy.settings.accumulate, size)
    for batches in itertools.islice(steps, _WARM_UP):
        copy.update(batches)
    one = _largest(_seconds(copy, steps, 1), copy)
    num = min(_MOST, max(_LEAST, int(limit / one)))  # the same in all processes, which wait for each other
    return _seconds(copy, steps, num) / num


def _seconds(copy: Training, steps: Iterator[list[Batch]], num: int) -> float:
    copy.losses.read()  # waits for the device
    started = time.monotonic()
    for batches in itertools.islice(steps, num):
        copy.update(batches)
    copy.losses.read()
    return time.monotonic() - started


def _largest(value: float, copy: Training) -> float:
    """Over all processes."""
    return float(copy.learner.accelerator.gather(torch.tensor([value], device=copy.learner.device)).max())


def _steps(loader: Loader, accumulate: int, size: tuple[int, int] | None) -> Iterator[list[Batch]]:
    """The batches of each step, over epochs."""
    sizes = None if size is None else lambda number: size
    batches = itertools.chain.from_iterable(loader.epoch(epoch, sizes=sizes) for epoch in itertools.count())
    return iter(lambda: list(itertools.islice(batches, accumulate)), [])


def _validation_seconds(copy: Training) -> float:
    """Of a whole validation, from its first batches."""
    first = _First(copy.val_loader, _VAL_BATCHES)
    learner, started = copy.learner, time.monotonic()
    with learner.accelerator.autocast():
        evaluate(learner.model, copy.task, first, device=learner.device, inputs=learner.inputs)  # type: ignore[arg-type]
    return (time.monotonic() - started) * len(copy.val_loader) / max(1, len(first))


class _First:
    """The first batches of a loader."""

    def __init__(self, loader: Loader, most: int) -> None:
        self._loader, self._most = loader, most

    def __len__(self) -> int:
        return min(self._most, len(self._loader))

    def epoch(self, epoch: int) -> Iterator[Batch]:
        return itertools.islice(self._loader.epoch(epoch), self._most)
