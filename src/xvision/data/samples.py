"""Samples made of several files: which files belong together.

An image and its label have the same path below their folders, but for prefix and suffix; what has no partner is listed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xvision.data.dataset import DataError, Dataset, Sample, Split
from xvision.data.folders import SPLITS, files, summary
from xvision.data.images import SUFFIXES
from xvision.data.readers import Reader
from xvision.data.sources import digest, file_hashes

Row = tuple[Path, ...]


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
            raise DataError(f"{sizes}: expected files of one size (HxW); fix or remove them")
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
            raise DataError(f"{root}: expected samples for '{split}', got none; add files to it")
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
    columns: Sequence[Column], *, every_image: bool = True
) -> tuple[dict[str, tuple[Path | None, ...]], list[str]]:
    """Rows of files by key, in order, and what lacks a partner.

    Images come first; unless `every_image`, one may have none of the labels, but never only some.
    """
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
        lacks = [column for column, file in zip(columns, row, strict=True) if file is None]
        if not every_image and not any(row[1:]):
            lacks = []
        there = next(file for file in row if file is not None)
        for c in lacks:
            if c.kind not in strangers:
                strangers[c.kind] = c.strangers()
            other = strangers[c.kind].get(key)
            got = f", got {other.name}: save it as {c.suffixes[0]}" if other else ""
            problems.append(f"{there}: no {c.kind} belongs to it; expected {c.expected(key)}{got}")
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
                f"{columns[0].folder}: expected {kinds} for '{split}', got none; add files to them"
            )
    if problems:
        raise DataError(summary(root, problems))
    return found
