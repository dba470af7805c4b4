"""Several data sets as one: samples of each, with the labels that it has.

A sample lacks the labels that only other sets have; the loader says which (see `Batch`), and a task learns from the
samples that have all it needs.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from xvision.data.dataset import DataError, Dataset, Sample, Split
from xvision.data.settings import Data
from xvision.parts import nearest

_INPUTS = ("image", "previous", "flow", "confidence")  # what sets may share without meaning the same labels


def open_data(data: Data) -> Dataset:
    """The data set of a recipe's `data` section, or its several ones as one.

    Raises: DataError if a folder is missing or wrong; ValueError for settings that fit no set, and where two sets have
    different classes of one kind.
    """
    sets: dict[str, Dataset] = {part.name: part.build() for part in data.dataset}
    if data.labels:
        sets = _with_labels(sets, data.labels)
    if len(sets) == 1:
        return next(iter(sets.values()))
    return join(sets, equal=data.draw == "equal")


def join(sets: Mapping[str, Dataset], *, equal: bool = False) -> Dataset:
    """Several data sets as one; with `equal` each gives as many training samples as the largest, by repetition.

    Raises: ValueError where two sets name the classes of one field differently.
    """
    classes: dict[str, tuple[str, ...]] = {}
    for name, one in sets.items():
        for field, names in one.classes.items():
            if classes.setdefault(field, names) != names:
                first = next(n for n, s in sets.items() if field in s.classes)
                raise ValueError(
                    f"data.dataset: {first} and {name} have different classes of '{field}'; take it from one of them, "
                    f"for example data.labels={first}:{field},{name}:…"
                )
    fields = tuple(dict.fromkeys(field for one in sets.values() for field in one.fields))
    splits = {}
    for split in dict.fromkeys(name for one in sets.values() for name in one.splits):
        parts = {name: one.splits[split] for name, one in sets.items() if split in one.splits}
        times = dict.fromkeys(parts, 1)
        if equal and split == "train":
            longest = max(map(len, parts.values()))
            times = {name: math.ceil(longest / max(1, len(part))) for name, part in parts.items()}
            parts = {
                name: _repeated(part, longest) if times[name] > 1 else part for name, part in parts.items()
            }
        splits[split] = _joined(parts)
    return Dataset("+".join(sets), fields, classes, splits)


def _with_labels(sets: Mapping[str, Dataset], texts: Sequence[str]) -> dict[str, Dataset]:
    """The sets with only those labels that `texts` (set:field) name, for each set that is named at all."""
    wanted: dict[str, list[str]] = {}
    problems = []
    for text in texts:
        name, _, field = text.partition(":")
        if name not in sets:
            problems.append(f"'{text}': no data set of this recipe is called '{name}'; {nearest(name, sets)}")
        elif field not in sets[name].fields:
            problems.append(f"'{text}': {name} has no field '{field}'; {nearest(field, sets[name].fields)}")
        else:
            wanted.setdefault(name, []).append(field)
    if problems:
        raise ValueError("; ".join(f"data.labels: {problem}" for problem in problems))
    return {
        name: _restricted(one, (*_INPUTS, *wanted[name])) if name in wanted else one
        for name, one in sets.items()
    }


def _restricted(one: Dataset, kept: tuple[str, ...]) -> Dataset:
    return replace(
        one,
        fields=tuple(field for field in one.fields if field in kept),
        classes={field: names for field, names in one.classes.items() if field in kept},
    )


def _repeated(split: Split, count: int) -> Split:
    taken = split.take([i % len(split) for i in range(count)])
    return replace(taken, fields=split.fields)


def _joined(parts: Mapping[str, Split]) -> Split:
    names = tuple(f"{set_name}: {name}" for set_name, part in parts.items() for name in part.names)
    several = Joined(tuple(parts.values()))
    return Split(names, several.load, several.digest, parts=several.parts)


@dataclass(frozen=True)
class Joined:
    """Samples of several splits, one split after the other."""

    parts: tuple[Split, ...]

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for part in self.parts[:-1]:
            starts.append(starts[-1] + len(part))
        return starts

    def load(self, i: int) -> Sample:
        at = bisect_right(self._starts, i) - 1
        while not len(self.parts[at]):
            at -= 1
        return self.parts[at].load(i - self._starts[at])

    def digest(self) -> str:
        return hashlib.sha256(" ".join(part.digest() for part in self.parts).encode()).hexdigest()


def check_fields(dataset: Dataset, inputs: Sequence[str], labels: Sequence[str]) -> None:
    """Raise DataError if a set lacks something that the network takes, or no set has a label that a task needs."""
    for name, split in dataset.splits.items():
        for part in split.parts or (split,):
            if missing := [field for field in inputs if field not in part.fields]:
                raise DataError(
                    f"{dataset.name}: expected {', '.join(missing)} in every sample of '{name}' for this network, a "
                    f"set gives {', '.join(part.fields)}; choose another net.inputs or data set"
                )
    if missing := [field for field in labels if field not in dataset.fields]:
        raise DataError(
            f"{dataset.name}: expected {', '.join(missing)} for this task, the data set gives "
            f"{', '.join(dataset.fields)}; choose another task or data set"
        )
