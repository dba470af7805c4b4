"""What every data set gives: named splits of samples, and a digest that says whether they changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Sample = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Split:
    """One part of a data set, decoded one sample at a time.

    `load(i)` gives the raw sample i (fields of `xvision.fields.FIELDS`, own size each) and raises ValueError naming
    the file if it is damaged. `digest()` is the sha256 of the ordered list of names and contents.
    """

    names: tuple[str, ...]  # what errors and reports call sample i: a path inside the set, or "scene 17"
    load: Callable[[int], Sample]
    digest: Callable[[], str]

    def __len__(self) -> int:
        return len(self.names)


@dataclass(frozen=True)
class Dataset:
    """Splits ("train", "val", perhaps "test") of samples that hold the same fields."""

    name: str
    fields: tuple[str, ...]
    classes: Mapping[str, tuple[str, ...]]  # field -> class names in the order of their ids
    splits: Mapping[str, Split]
