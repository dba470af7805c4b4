"""Several data sets as one: samples of each, with the labels that it has.

A sample lacks the labels that only other sets have; the loader says which (see `Batch`), and a task learns from the
samples that have all it needs.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

from xvision.config.messages import nearest
from xvision.config.parts import Part
from xvision.data.dataset import DataError, Dataset, Sample, Split
from xvision.data.settings import Data

_INPUTS = ("image", "previous", "flow", "confidence")  # what sets may share without meaning the same labels


def open_data(data: Data) -> Dataset:
    """The data set of a recipe's `data` section, or its several ones as one.

    Raises: DataError if a folder is missing or wrong; ValueError for settings that fit no set, and where two sets have
    different classes of one kind.
    """
    sets = {part.name: _built(part, alone=len(data.dataset) == 1) for part in data.dataset}
    if data.labels:
        sets = _with_labels(sets, data.labels)
    if len(sets) == 1:
        return next(iter(sets.values()))
    return join(sets, equal=data.sampling == "equal")


def _built(part: Part, *, alone: bool) -> Dataset:
    """The data set; of several, what is wrong with it names its own settings (data.NAME.root)."""
    try:
        made: Dataset = part.build()
    except ValueError as error:
        if alone or not part.settings:
            raise
        own = rf"\bdata\.({'|'.join(part.settings)})\b"
        raise type(error)(re.sub(own, rf"data.{part.name}.\1", str(error))) from error
    return made


def join(sets: Mapping[str, Dataset], *, equal: bool = False) -> Dataset:
    """Several data sets as one; with `equal` each gives as many training samples as the largest, by repetition.

    Raises: ValueError where two sets name the classes of one field, or the joints, differently.
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
    joints = {name: one.joints for name, one in sets.items() if one.joints is not None}
    if len(set(joints.values())) > 1:
        raise ValueError(
            f"data.dataset: {' and '.join(joints)} have different joints; take keypoints from one of them (data.labels)"
        )
    splits = {}
    for split in dict.fromkeys(name for one in sets.values() for name in one.splits):
        parts = {name: one.splits[split] for name, one in sets.items() if split in one.splits}
        splits[split] = _joined(parts, equal=equal and split == "train")
    return Dataset("+".join(sets), fields, classes, splits, next(iter(joints.values()), None))


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


@dataclass(frozen=True)
class _Only:
    """Samples without the fields that are not wanted."""

    split: Split
    kept: tuple[str, ...]

    def load(self, i: int) -> Sample:
        return {field: value for field, value in self.split.load(i).items() if field in self.kept}


def _restricted(one: Dataset, kept: tuple[str, ...]) -> Dataset:
    return replace(
        one,
        splits={name: replace(split, load=_Only(split, kept).load) for name, split in one.splits.items()},
        fields=tuple(field for field in one.fields if field in kept),
        classes={field: names for field, names in one.classes.items() if field in kept},
        joints=one.joints if "keypoints" in kept else None,
    )


def _joined(parts: Mapping[str, Split], *, equal: bool) -> Split:
    longest = max(map(len, parts.values()))
    shares = tuple(longest if equal and len(part) else len(part) for part in parts.values())
    names = tuple(
        f"{set_name}: {part.names[i % len(part)]}"
        for (set_name, part), share in zip(parts.items(), shares, strict=True)
        for i in range(share)
    )
    several = Joined(tuple(parts.values()), shares)
    return Split(names, several.load, several.digest, parts=parts, shares=shares)


@dataclass(frozen=True)
class Joined:
    """Samples of several splits, one split after the other; each starts again until it has given its share."""

    parts: tuple[Split, ...]
    shares: tuple[int, ...]

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(self.shares))

    def load(self, i: int) -> Sample:
        at = bisect_right(self._ends, i)
        part = self.parts[at]
        return part.load((i - self._ends[at] + self.shares[at]) % len(part))

    def digest(self) -> str:
        parts = [f"{part.digest()} {share}" for part, share in zip(self.parts, self.shares, strict=True)]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def check_labels(dataset: Dataset, name: str, needs: Mapping[str, Sequence[str]], use: str = "") -> None:
    """Raise DataError, with everything that is missing, unless the split `name` is there with the labels of all tasks.

    `needs` are the labels of each task, which one of the sets must have; a set from which no task could learn is wrong
    too. `use` says what the split is for.
    """
    if name not in dataset.splits:
        raise DataError(
            f"{dataset.name}: expected a split '{name}', has {', '.join(dataset.splits)}; "
            f"{use or 'add it, or choose another data set'}"
        )
    sets = dataset.splits[name].parts or {dataset.name: dataset.splits[name]}
    gives = {set_name: f"{set_name} gives {', '.join(part.fields)}" for set_name, part in sets.items()}

    def learners(part: Split) -> list[str]:
        return [task for task, labels in needs.items() if set(labels) <= set(part.fields)]

    taught = {set_name: learners(part) for set_name, part in sets.items()}
    problems = [
        f"{task} needs the label {' and '.join(labels)}, {', '.join(gives.values())}"
        for task, labels in needs.items()
        if not any(task in tasks for tasks in taught.values())
    ]
    problems += [
        f"expected labels of {' or '.join(needs)}, {gives[set_name]}"
        for set_name, tasks in taught.items()
        if len(sets) > 1 and not tasks
    ]
    if problems:
        raise DataError(
            f"{dataset.name}, split '{name}': {'; '.join(problems)}; choose other tasks, data sets or data.labels"
        )
