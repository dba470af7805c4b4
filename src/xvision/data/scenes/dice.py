"""Random choices that are the same on every machine and in every version of Python and numpy."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """A seeded source of choices.

    Only `random.Random.random` is promised to repeat its sequence, so everything is made of it.
    """

    def __init__(self, seed: int) -> None:
        self._next = random.Random(seed).random

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * self._next()

    def within(self, bounds: tuple[float, float]) -> float:
        return bounds[0] + (bounds[1] - bounds[0]) * self._next()

    def angle(self, low_deg: float, high_deg: float) -> float:
        """Radians from a range in degrees."""
        return math.radians(self.uniform(low_deg, high_deg))

    def integer(self, n: int) -> int:
        return int(self._next() * n)

    def between(self, bounds: tuple[int, int]) -> int:
        """An integer of a range that includes both ends."""
        return bounds[0] + int(self._next() * (bounds[1] - bounds[0] + 1))

    def chance(self, p: float) -> bool:
        return self._next() < p

    def sign(self) -> int:
        return 1 if self._next() < 0.5 else -1

    def pick(self, items: Sequence[T]) -> T:
        return items[int(self._next() * len(items))]

    def weighted(self, items: Sequence[tuple[T, float]]) -> T:
        left = self._next() * sum(weight for _, weight in items)
        for item, weight in items:
            left -= weight
            if left < 0:
                return item
        return items[-1][0]

    def shuffled(self, n: int) -> list[int]:
        """A permutation of range(n) (Fisher and Yates)."""
        order = list(range(n))
        for i in range(n - 1, 0, -1):
            j = int(self._next() * (i + 1))
            order[i], order[j] = order[j], order[i]
        return order
