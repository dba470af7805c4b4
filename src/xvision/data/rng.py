"""Random numbers that depend on (seed, epoch, index) and on nothing else.

Every number is a hash of where it is used, so a sample gets the same augmentation whichever process draws it, after a
resume too, and a whole batch is drawn by a few array operations.

Source: SplitMix64 of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014), figure 14;
chained here over the parts of the key.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np


class Purpose(IntEnum):
    """Last part of every key, so that no two purposes share numbers."""

    ORDER = 0
    PLACE = 1
    COLOR = 2
    MIX = 3
    SPLIT = 4


Integers = np.ndarray[Any, np.dtype[np.int64]]
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SHIFT_30, _SHIFT_27, _SHIFT_31, _SHIFT_11 = (np.uint64(n) for n in (30, 27, 31, 11))
_MULTIPLY_1, _MULTIPLY_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def _mix(z: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    z = (z ^ (z >> _SHIFT_30)) * _MULTIPLY_1
    z = (z ^ (z >> _SHIFT_27)) * _MULTIPLY_2
    return z ^ (z >> _SHIFT_31)


def _bits(*key: int | Integers) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """64 random bits for each element of the broadcast key."""
    state = np.zeros(1, np.uint64)
    for part in key:
        numbers = np.atleast_1d(np.asarray(part, np.int64)).astype(np.uint64)
        state = _mix((state ^ numbers) + _GOLDEN)
    return state


def uniforms(*key: int | Integers, count: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """`count` numbers in [0, 1) for each key; integers and arrays of shape (B,) make keys of shape (B, count)."""
    columns = [np.asarray(part, np.int64).reshape(-1, 1) for part in key]
    bits = _bits(*columns, np.arange(count, dtype=np.int64))
    return (bits >> _SHIFT_11).astype(np.float64) * 2.0**-53


def seeds(*key: int | Integers) -> list[int]:
    """One seed below 2**63 for each key, for generators that want their own."""
    return [int(bits) >> 1 for bits in _bits(*key)]


def permutation(*key: int, count: int) -> Integers:
    """The numbers below `count` in an order given by the key, the same in every numpy version."""
    return np.argsort(_bits(*key, np.arange(count, dtype=np.int64)), kind="stable")
