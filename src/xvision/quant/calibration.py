"""Calibration images: which of them numbers are fitted to, and which are held back to judge the result.

A few hundred images are easily fitted: a correction of weights can reach 40 to 70 dB on them and be of no use on
others. So a quarter of them, the same for every method, is kept apart, and what does not help there is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor

Batches = list[tuple[Tensor, ...]]
EVERY = 4  # image is held back
LEAST_IMAGES = 32  # with fewer, none is


def take(batches: Iterable[tuple[Tensor, ...]], num_images: int) -> Batches:
    """The first batches, until `num_images` are together; the last is cut."""
    taken: Batches = []
    for planes in batches:
        left = num_images - count(taken)
        if left <= 0:
            break
        taken.append(tuple(plane[:left] for plane in planes))
    if not taken:
        raise ValueError("calibration: expected at least one batch of images, got none; check the data")
    return taken


def replayed(
    batches: Callable[[], Iterable[tuple[Tensor, ...]]],
) -> Callable[[], Iterator[tuple[Tensor, ...]]]:
    """The same batches at each call, each drawn once: what is given may be read only once, or shuffled each time."""
    drawn: Batches = []
    walk: list[Iterator[tuple[Tensor, ...]]] = []

    def again() -> Iterator[tuple[Tensor, ...]]:
        walk[:] = walk or [iter(batches())]
        place = 0
        while place < len(drawn) or _draw(walk[0], drawn):
            yield drawn[place]
            place += 1

    return again


def _draw(walk: Iterator[tuple[Tensor, ...]], drawn: Batches) -> bool:
    for planes in walk:
        drawn.append(planes)
        return True
    return False


def count(batches: Sequence[tuple[Tensor, ...]]) -> int:
    """How many images there are."""
    return sum(len(planes[0]) for planes in batches)


def held_back(batches: Batches) -> tuple[Batches, Batches]:
    """The images to fit to, and those to judge on: every fourth one, or where there are few the same ones."""
    if count(batches) < LEAST_IMAGES:
        return batches, batches
    fitted: Batches = []
    judged: Batches = []
    first = 0
    for planes in batches:
        held = torch.arange(first, first + len(planes[0])) % EVERY == EVERY - 1
        first += len(planes[0])
        for some, chosen in ((judged, held), (fitted, ~held)):
            if bool(chosen.any()):
                some.append(tuple(plane[chosen.to(plane.device)] for plane in planes))
    return fitted, judged
