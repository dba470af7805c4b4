"""What every data set gives: named splits of samples, and a digest that says whether they changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xvision.data.joints import Joints

Sample = dict[str, np.ndarray[Any, Any]]


class DataError(ValueError):
    """Something is wrong with the data, not with the settings; `exit_code` is what the command returns."""

    exit_code = 3


@dataclass(frozen=True)
class Split:
    """One part of a data set, decoded one sample at a time.

    `load(i)` gives the raw sample i (fields of `xvision.fields.FIELDS`, own size each) and raises `DataError` naming
    the file if it is damaged. `digest()` is the sha256 of the ordered list of names and contents; `Dataset` adds the
    names of the classes, which are contents too. Both are called in worker processes as well, so they must be
    picklable: methods or module functions, no lambdas.
    """

    names: tuple[str, ...]  # what errors and reports call sample i: a path inside the set, or "scene 17"
    load: Callable[[int], Sample]
    digest: Callable[[], str]
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # filled in by `Dataset`
    fields: tuple[str, ...] = ()  # filled in too
    joints: Joints | None = None  # filled in too
    parts: Mapping[str, Split] = field(
        default_factory=dict
    )  # the splits of several sets, in order, by their names
    shares: tuple[int, ...] = ()  # and how many samples each of them gives

    def __len__(self) -> int:
        return len(self.names)

    def take(self, indices: Sequence[int]) -> Split:
        """The samples at `indices`, in that order."""
        part = _Part(self, tuple(int(i) for i in indices))
        names = tuple(self.names[i] for i in part.indices)
        return Split(names, part.load, part.digest, self.classes, self.fields, self.joints)


@dataclass(frozen=True)
class _Part:
    whole: Split
    indices: tuple[int, ...]

    def load(self, i: int) -> Sample:
        return self.whole.load(self.indices[i])

    def digest(self) -> str:
        """The whole's digest and the indices: contents are the same exactly if both are."""
        return hashlib.sha256(f"{self.whole.digest()} {self.indices}".encode()).hexdigest()


@dataclass(frozen=True)
class _Named:
    split: Split
    classes: Mapping[str, tuple[str, ...]]

    def digest(self) -> str:
        """The split's digest and the class names: under other names the same labels are others."""
        named = json.dumps({field: list(names) for field, names in sorted(self.classes.items())})
        return hashlib.sha256(f"{self.split.digest()} {named}".encode()).hexdigest()


@dataclass(frozen=True)
class Dataset:
    """Splits ("train", "val", perhaps "test") of samples that hold the same fields (of several sets: some)."""

    name: str
    fields: tuple[str, ...]
    classes: Mapping[str, tuple[str, ...]]  # field -> class names in the order of their ids
    splits: Mapping[str, Split]
    joints: Joints | None = None
    """What its keypoints are, where it has any."""

    def __post_init__(self) -> None:
        """A split knows the classes, fields and joints of its set, so that no builder can forget to tell it."""
        assert self.joints or "keypoints" not in self.fields, f"{self.name}: whose joints are its keypoints?"
        splits = {
            name: replace(
                split,
                classes=self.classes,
                fields=self.fields,
                joints=self.joints,
                digest=_Named(split, self.classes).digest if self.classes else split.digest,
            )
            for name, split in self.splits.items()
        }
        object.__setattr__(self, "splits", splits)
