"""Batches of a split: which samples, in which order, changed how; the same for any number of workers.

Everything random is a function of where it is used: the order of (seed, epoch), the augmentation of a sample of
(seed, epoch, index), mixing of (seed, epoch, batch, rank). Workers therefore hold no state, and a resume skips
batches without decoding them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from xvision.data.batches import Batch, Batches, Job
from xvision.data.cache import Progress, cached, prepared
from xvision.data.concat import Joined
from xvision.data.crop import within
from xvision.data.dataset import DataError, Sample, Split
from xvision.data.framing import Framing
from xvision.data.resources import ResourceError, lost_worker
from xvision.data.rng import Purpose, permutation
from xvision.data.settings import Data

_PREFETCH = 2


def training_batches(num_samples: int, batch_size: int) -> int:
    """Full batches of an epoch; what is left over is drawn in another one."""
    return max(1, num_samples // batch_size)


class Loader:
    """Iterates over a split in batches of tensors, in this process or in workers.

    Training takes whole global batches of `batch_size * world` in an order drawn per epoch; the rest of an epoch is
    dropped unless the set is smaller than one batch. Validation gives every sample once, in order.

    `framing` brings samples to the input's size: what is trained, calibrated and measured must agree in it. In
    validation `native_size` are fields that stay as they are, such as label maps, which are measured at their own
    resolution. `only` are the numbers of the samples to give, where those are not all. With `pin_memory` tensors lie in
    pages that an accelerator copies from while the CPU continues.

    Raises: DataError for damaged samples (all of them, when they are cached), named.
    """

    def __init__(
        self,
        split: Split,
        fields: tuple[str, ...],
        data: Data,
        *,
        batch_size: int,
        train: bool,
        seed: int,
        framing: Framing,
        workers: int = 0,
        rank: int = 0,
        world: int = 1,
        native_size: tuple[str, ...] = (),
        only: Sequence[int] | None = None,
        pin_memory: bool = False,
        progress: Progress | None = None,
    ) -> None:
        assert 0 <= rank < world, (rank, world)
        assert not native_size or not train, native_size
        assert only is None or not train, "training draws from all samples"
        if train and len(split) < world:
            raise DataError(
                f"data: expected at least one training sample for each of {world} processes, "
                f"got {len(split)}; use fewer processes or more samples"
            )
        self.split = _opened(split, fields, data, native_size, progress)
        self.batch_size = batch_size
        self.train = train
        self._seed, self._rank, self._world, self._workers = seed, rank, world, workers
        self._batches = Batches(self.split, fields, data, train, seed, rank, framing, native_size)
        self._samples = np.arange(len(split)) if only is None else np.asarray(only, np.int64)
        self._pin_memory = pin_memory
        self._plan = _Plan()
        self._processes: DataLoader[Batch] | None = None

    @property
    def num_samples(self) -> int:
        """Samples that there are, over all ranks."""
        return len(self._samples)

    def __len__(self) -> int:
        """Batches an epoch on this rank."""
        if self.train:
            return training_batches(self.num_samples, self.batch_size * self._world)
        mine = len(range(self._rank, self.num_samples, self._world))
        return -(-mine // self.batch_size)

    def epoch(
        self, epoch: int, start_batch: int = 0, sizes: Callable[[int], tuple[int, int]] | None = None
    ) -> Iterator[Batch]:
        """The batches of one epoch from `start_batch` on; earlier ones are not decoded.

        `sizes` gives height and width of each batch by its number in the epoch, where they are not those of the input.
        """
        self._plan.jobs = self._jobs(epoch, sizes or (lambda number: self._batches.data.size))[start_batch:]
        if not self._workers:
            batches = map(self._batches.__getitem__, self._plan.jobs)
            yield from map(_pinned, batches) if self._pin_memory else batches
            return
        problem: ValueError | None = None
        try:
            with _no_threads_to_fork():
                answers = iter(self._parallel())
            for batch in answers:
                if isinstance(batch, ValueError):
                    problem = batch
                    break
                yield batch
        except (OSError, EOFError) as e:  # of the pipe to a process that was killed
            self._processes = None
            raise lost_worker() from e
        if problem is not None:
            del answers  # with the last reference the workers end; the traceback would keep them alive
            self._processes = None
            raise problem

    def _jobs(self, epoch: int, sizes: Callable[[int], tuple[int, int]]) -> list[Job]:
        return [Job(epoch, n, indices, sizes(n)) for n, indices in enumerate(self._indices(epoch))]

    def _indices(self, epoch: int) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
        if not self.train:
            mine = self._samples[self._rank :: self._world]
            return [mine[at : at + self.batch_size] for at in range(0, len(mine), self.batch_size)]
        order = permutation(self._seed, epoch, Purpose.ORDER, count=self.num_samples)
        whole = self.batch_size * self._world
        if len(order) < whole:
            return [np.array_split(order, self._world)[self._rank]]
        first = self._rank * self.batch_size
        return [
            order[at + first : at + first + self.batch_size] for at in range(0, len(order) - whole + 1, whole)
        ]

    def _parallel(self) -> DataLoader[Batch]:
        """Worker processes, started once and kept over epochs: they hold nothing that an epoch changes."""
        if self._processes is None:
            self._processes = DataLoader(
                _Answers(self._batches),
                batch_size=None,
                sampler=self._plan,
                num_workers=self._workers,
                persistent_workers=True,
                prefetch_factor=_PREFETCH,
                pin_memory=self._pin_memory,
                worker_init_fn=_start_worker,
                generator=torch.Generator(),  # else it draws from the global one, which dropout uses
            )
        return self._processes


def calibration_order(num_samples: int, seed: int) -> list[int]:
    """The samples of a split in the order in which calibration takes them: from all over it."""
    order: list[int] = permutation(seed, 0, Purpose.ORDER, count=num_samples).tolist()
    return order


def calibration_batches(
    split: Split,
    fields: tuple[str, ...],
    data: Data,
    *,
    num_samples: int | None = None,
    batch_size: int,
    seed: int,
    framing: Framing,
) -> Iterator[Batch]:
    """Batches of samples drawn from all over a split, not augmented: what quantization ranges are measured on."""
    opened = _opened(split, fields, data, (), None)
    some = opened.take(calibration_order(len(opened), seed)[:num_samples])
    uncached = data.model_copy(
        update={"cache": False, "crop_rect": None, "mask_rect": None}
    )  # `opened` is already
    loader = Loader(some, fields, uncached, batch_size=batch_size, train=False, seed=seed, framing=framing)
    return loader.epoch(0)


def _opened(
    split: Split, fields: tuple[str, ...], data: Data, native_size: tuple[str, ...], progress: Progress | None
) -> Split:
    if split.parts:
        parts = {
            name: _opened(part, _held(part, fields), data, _held(part, native_size), progress)
            for name, part in split.parts.items()
        }
        return replace(split, load=Joined(tuple(parts.values()), split.shares).load, parts=parts)
    split = within(split, data.crop_rect, data.mask_rect)

    def opened(some: tuple[str, ...], size: tuple[int, int] | None) -> Split:
        return cached(split, some, size, progress) if data.cache else prepared(split, some, size)

    resized = tuple(field for field in fields if field not in native_size)
    if not native_size:
        return opened(resized, data.size)
    return replace(split, load=_TwoForms(opened(resized, data.size), opened(native_size, None)).load)


def _held(split: Split, fields: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(field for field in fields if field in split.fields)


@dataclass(frozen=True)
class _TwoForms:
    """Samples whose fields come from two forms of one split."""

    one: Split
    other: Split

    def load(self, i: int) -> Sample:
        return self.one.load(i) | self.other.load(i)


class _Plan(Sampler[Job]):
    """The jobs of the epoch at hand; workers get them one by one."""

    jobs: list[Job] = []  # noqa: RUF012

    def __init__(self) -> None: ...

    def __iter__(self) -> Iterator[Job]:
        return iter(self.jobs)

    def __len__(self) -> int:
        return len(self.jobs)


def _pinned(value: Any) -> Any:
    """The tensors of a batch in page-locked memory, whatever else is in it."""
    if isinstance(value, dict):
        return {key: _pinned(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_pinned(one) for one in value]
    return value.pin_memory() if isinstance(value, Tensor) else value


@dataclass
class _Answers(TorchDataset[Any]):
    """Batches, or the error of a damaged sample or of too little memory: raised in the main process, without a
    worker's traceback."""

    batches: Batches

    def __getitem__(self, job: Job) -> Batch | ValueError:
        try:
            return self.batches[job]
        except (DataError, ResourceError) as error:
            return error


@contextlib.contextmanager
def _no_threads_to_fork() -> Iterator[None]:
    """OpenCV's pool of threads ends before a fork: a child would inherit the pool without its threads and wait for
    them for ever, in its first large operation or already when it is told to use fewer."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def _start_worker(number: int) -> None:
    """One thread, and a process group of its own: Ctrl-C and `timeout` signal the group, and training, which wants
    to finish its batch and save, decides when its workers end."""
    if cv2.getNumThreads() != 1:  # started afresh, not forked
        cv2.setNumThreads(1)
    os.setpgrp()
