"""How a file becomes a field, and what many files hold.

A reader is a small frozen dataclass: it travels to worker processes, and its settings count in the digest.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from xvision.data.dataset import DataError
from xvision.data.folders import summary
from xvision.data.images import Array, read_depth, read_image, read_labels
from xvision.data.sources import cache_folder, digest, file_hashes
from xvision.fields import UNKNOWN
from xvision.files import write_text

MOTION = ((0, 0), (1, 1), (UNKNOWN, UNKNOWN))  # a mask that is written as FIELDS says


Reader = Callable[[Path], Array]


@dataclass(frozen=True)
class Photo:
    """Reads an image as RGB."""

    def __call__(self, file: Path) -> Array:
        return read_image(file, str(file))


@dataclass(frozen=True)
class Labels:
    """Reads a label PNG; `meaning` pairs each value that a file may hold with the id it stands for.

    Raises: DataError that names the file and the first value that means nothing; `hint` says what to do.
    """

    meaning: tuple[tuple[int, int], ...]
    hint: str = "fix the file"

    @cached_property
    def _table(self) -> Array:
        table = np.full(256, -1, np.int16)
        for value, label in self.meaning:
            table[value] = label
        return table

    def __call__(self, file: Path) -> Array:
        values = read_labels(file, str(file))
        beyond = values > 255
        ids = self._table[np.where(beyond, 0, values)] if beyond.any() else self._table[values]
        wrong = (ids < 0) | beyond
        if wrong.any():
            row, column = np.argwhere(wrong)[0].tolist()
            raise DataError(
                f"{file}: expected the values {ranges(value for value, _ in self.meaning)}, got "
                f"{values[row, column]} (in {np.count_nonzero(wrong)} pixels, the first in row {row}, "
                f"column {column}); {self.hint}"
            )
        return ids.astype(np.uint8)


def values_in(labels: Array) -> set[int]:
    """The different numbers in a label map; `np.unique` would sort all pixels."""
    return set(np.flatnonzero(np.bincount(labels.reshape(-1))).tolist())


def spread(files: Sequence[Path], count: int) -> list[Path]:
    """At most `count` of the files, from all over them."""
    return [files[i] for i in np.linspace(0, len(files) - 1, min(count, len(files))).astype(int)]


def class_ids(values: Sequence[int], unknown: Sequence[int] = (UNKNOWN,)) -> tuple[tuple[int, int], ...]:
    """The meaning of label files: the values of the classes in order, and those of pixels without a class."""
    return (
        *((value, i) for i, value in enumerate(values)),
        *((value, UNKNOWN) for value in unknown if value not in values),
    )


def found_in(root: Path, files: Sequence[Path], look: Callable[[Path], Any], what: str) -> list[Any]:
    """What `look` finds in each file, plain data; remembered in the cache folder by `what` and the files' content.

    Cost: the first call decodes every file. Raises: DataError that lists all files which cannot be read.
    """
    names = [file.relative_to(root).as_posix() for file in files]
    content = digest([[what], *zip(names, file_hashes(root, names), strict=True)])
    memo = cache_folder() / "found" / f"{content[:24]}.json"
    with contextlib.suppress(OSError, ValueError, TypeError):
        kept = json.loads(memo.read_text(encoding="utf-8"))
        if len(kept) == len(files):
            return list(kept)

    def tried(file: Path) -> Any:
        try:
            return look(file)
        except DataError as error:
            return error

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        found = list(pool.map(tried, files))
    if problems := [str(answer) for answer in found if isinstance(answer, DataError)]:
        raise DataError(summary(root, problems))
    with contextlib.suppress(OSError):  # a memo that cannot be kept costs time, nothing else
        write_text(memo, json.dumps(found))
    return found


def ranges(values: Iterable[int]) -> str:
    """Numbers as people write them.

    >>> ranges([0, 1, 2, 5, 255])
    '0-2, 5, 255'
    """
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and value == runs[-1][1] + 1:
            runs[-1][1] = value
        else:
            runs.append([value, value])
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in runs)


@dataclass(frozen=True)
class DepthMap:
    """Reads a depth map in steps of `unit` metres; by default integers count millimetres, floats metres.

    Unknown (0) are: 0, the largest 16-bit number (a saturated or missing measurement), what is negative or not finite.
    """

    unit: float | None = None

    def __call__(self, file: Path) -> Array:
        steps = read_depth(file, str(file))
        unit = self.unit if self.unit is not None else (1.0 if steps.dtype.kind == "f" else 0.001)
        known = np.isfinite(steps) & (steps > 0)
        if steps.dtype == np.uint16:
            known &= steps < 65535
        return (np.where(known, steps, 0) * unit).astype(np.float32)
