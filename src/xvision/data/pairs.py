"""Samples made of several files: which files belong together, and how each becomes a field.

An image and its label have the same path below their folders, but for prefix and suffix; what has no partner is
listed. A reader is a small frozen dataclass: it travels to worker processes, and its settings count in the digest.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from xvision.data.dataset import DataError, Dataset, Sample, Split
from xvision.data.folders import SPLITS, files, folders, named, summary
from xvision.data.images import SUFFIXES, Array, read_depth, read_image, read_labels
from xvision.data.sources import cache_folder, digest, file_hashes
from xvision.files import write_text

IMAGES = ("images", "image", "imgs", "img", "rgb")
MASKS = ("masks", "mask", "labels", "label", "annotations", "annotation", "segmentation")
DEPTHS = ("depth", "depths", "depth_maps")
LABELS = (*MASKS, *DEPTHS)
UNKNOWN = 255
MOTION = ((0, 0), (1, 1), (UNKNOWN, UNKNOWN))  # a mask that is written as FIELDS says

Reader = Callable[[Path], Array]
Row = tuple[Path, ...]


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
    hint: str = "mend the file"

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
                f"{file}: expected the values {ranges(value for value, _ in self.meaning)}, came "
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
class Depth:
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


@dataclass(frozen=True)
class Rows:
    """The samples of a split as files: one for each reader, which gives the field of its name."""

    root: Path
    readers: tuple[tuple[str, Reader], ...]
    files: tuple[Row, ...]

    def load(self, i: int) -> Sample:
        """Sample i.

        Raises: DataError that names the files of a sample which differ in size, or the damaged one.
        """
        row = self.files[i]
        sample = {field: read(file) for (field, read), file in zip(self.readers, row, strict=True)}
        shapes = [value.shape[:2] for value in sample.values()]
        other = next((k for k, shape in enumerate(shapes) if shape != shapes[0]), 0)
        if other:
            sizes = " and ".join(f"{row[k]} is {shapes[k][0]}x{shapes[k][1]}" for k in (0, other))
            raise DataError(f"{sizes}: expected files of one size (HxW); mend or remove them")
        return sample

    def digest(self) -> str:
        """Of the rows, of how they are read, and of the content of every file."""
        rows = [[self._name(file) for file in row] for row in self.files]
        names = sorted({name for row in rows for name in row})
        readers = [[field, repr(reader)] for field, reader in self.readers]
        return digest([*readers, *rows, *zip(names, file_hashes(self.root, names), strict=True)])

    def split(self) -> Split:
        """The split; its samples are called by their images."""
        return Split(tuple(self._name(row[0]) for row in self.files), self.load, self.digest)

    def _name(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()


def rows_dataset(
    name: str,
    root: Path,
    readers: Mapping[str, Reader],
    rows: Mapping[str, Sequence[Row]],
    classes: Mapping[str, tuple[str, ...]] | None = None,
) -> Dataset:
    """A data set whose splits are rows of files.

    Raises: DataError for a split that holds nothing.
    """
    for split, found in rows.items():
        if not found:
            raise DataError(f"{root}: expected samples for '{split}', came none; add files to it")
    splits = {
        split: Rows(root, tuple(readers.items()), tuple(rows[split])).split()
        for split in SPLITS
        if split in rows
    }
    return Dataset(name, tuple(readers), classes or {}, splits)


@dataclass(frozen=True)
class Column:
    """One kind of file of a sample: in `folder`, called PREFIX key SUFFIX, the key shared by what belongs together."""

    kind: str  # what messages call it
    folder: Path
    suffixes: tuple[str, ...] = (".png",)
    prefix: str = ""

    def keys(self) -> tuple[dict[str, Path], list[str]]:
        """The files by key, and a problem for every key that two of them have."""
        found: dict[str, Path] = {}
        problems = []
        for file in files(self.folder):
            suffix = next((s for s in self.suffixes if file.name.lower().endswith(s)), None)
            if suffix is None or not file.name.startswith(self.prefix):
                continue
            stem = file.name[len(self.prefix) : -len(suffix)]
            key = file.relative_to(self.folder).with_name(stem).as_posix() if stem else ""
            if key in found:
                problems.append(
                    f"{file}: {found[key].name} has the same name but for its ending; keep one of them"
                )
            elif key:
                found[key] = file
        return found, problems

    def strangers(self) -> dict[str, Path]:
        """The files, by key, that would belong to this column but for their ending."""
        found = {}
        for file in files(self.folder):
            if file.name.startswith(self.prefix) and not file.name.lower().endswith(self.suffixes):
                key = file.relative_to(self.folder).with_name(file.stem[len(self.prefix) :] or "_").as_posix()
                found[key] = file
        return found

    def expected(self, key: str) -> str:
        """Where the file of a key should lie."""
        path = self.folder / key
        return f"{path.with_name(self.prefix + path.name)}{' or '.join(self.suffixes[:2])}"


def photos(folder: Path) -> Column:
    return Column("image", folder, SUFFIXES)


def match(
    columns: Sequence[Column], optional: Sequence[str] = ()
) -> tuple[dict[str, tuple[Path | None, ...]], list[str]]:
    """Rows of files by key, in order, and what lacks a partner; only kinds in `optional` may be missing."""
    problems: list[str] = []
    found = []
    for column in columns:
        keys, doubles = column.keys()
        found.append(keys)
        problems += doubles
    rows: dict[str, tuple[Path | None, ...]] = {}
    strangers: dict[str, dict[str, Path]] = {}  # looked for only if something is missing
    for key in sorted(set().union(*found)):
        row = tuple(keys.get(key) for keys in found)
        lacks = [
            column
            for column, file in zip(columns, row, strict=True)
            if file is None and column.kind not in optional
        ]
        there = next(file for file in row if file is not None)
        for c in lacks:
            if c.kind not in strangers:
                strangers[c.kind] = c.strangers()
            other = strangers[c.kind].get(key)
            came = f", came {other.name}: save it as {c.suffixes[0]}" if other else ""
            problems.append(f"{there}: no {c.kind} belongs to it; expected {c.expected(key)}{came}")
        if not lacks:
            rows[key] = row
    return rows, problems


def match_splits(root: Path, splits: Mapping[str, Sequence[Column]]) -> dict[str, list[Row]]:
    """The rows of every split.

    Raises: DataError that lists all files without a partner, and folders without files.
    """
    problems: list[str] = []
    found: dict[str, list[Row]] = {}
    for split, columns in splits.items():
        rows, wrong = match(columns)
        found[split] = [tuple(file for file in row if file is not None) for row in rows.values()]
        problems += wrong
        if not rows and not wrong:
            kinds = " and ".join(f"{column.kind}s" for column in columns)
            problems.append(
                f"{columns[0].folder}: expected {kinds} for '{split}', came none; add files to them"
            )
    if problems:
        raise DataError(summary(root, problems))
    return found


def layout(root: Path, columns: Sequence[Sequence[str]]) -> dict[str, tuple[Path, ...]]:
    """Where the folders of every split lie, one for each column of names it may have; empty if they do not.

    ROOT/train/{images,masks}, ROOT/{images,masks}/train, or ROOT/{images,masks} as "train" alone.
    """
    found: dict[str, tuple[Path, ...]] = {}
    for split, names in SPLITS.items():
        for folder in folders(root) if root.is_dir() else ():
            if folder.name.lower() in names and (inside := _all_named(folder, columns)):
                found[split] = inside
    tops = _all_named(root, columns)
    if found or not tops:
        return found
    for split, names in SPLITS.items():
        below = [path for top in tops if (path := named(top, names))]
        if len(below) == len(tops):
            found[split] = tuple(below)
    return found or {"train": tops}


def aspect(found: Mapping[str, tuple[Path, ...]]) -> float:
    """Width over height of the first image of a layout, 0 if there is none: it tells sets that are laid out alike."""
    first = next((file for images, *_ in found.values() for file in files(images)), None)
    if first is None:
        return 0.0
    height, width = read_image(first, str(first)).shape[:2]
    return float(width / height)


def own_layout(
    root: Path, holds: str, form: str, **columns: tuple[str, Sequence[str]]
) -> dict[str, tuple[Path, ...]]:
    """The folders of every split of somebody's own data, as `layout` finds them.

    `columns` are settings with what they say, perhaps nothing, and the usual names; images come first.

    Raises: DataError where there are no such folders, and where training or validation images lack those of labels.
    """
    names = [(given,) if given else usual for given, usual in columns.values()]
    found = layout(root, names)
    if not found:
        raise DataError(
            f"{root}: expected {holds}, {form}; it holds no such folders; rename them, or set "
            f"{' and '.join(f'data.{setting}' for setting in columns)} to their names"
        )
    for split, (images,) in layout(root, names[:1]).items():
        if split not in found and split != "test":
            raise DataError(
                f"{images}: expected {holds} for '{split}', came images without folders of the others; add "
                f"{' and '.join(list(columns)[1:])}, or remove these images"
            )
    return found


def _all_named(folder: Path, columns: Sequence[Sequence[str]]) -> tuple[Path, ...]:
    found = [path for names in columns if (path := named(folder, names))]
    return tuple(found) if len(found) == len(columns) else ()
