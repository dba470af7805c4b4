"""A data set made of arrays, and a sample that holds every field."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from xvision.data.dataset import Sample, Split
from xvision.data.joints import COCO
from xvision.fields import FIELDS


@dataclass(frozen=True)
class Arrays:
    """A picklable source of samples with every field, as a dataset file would define it."""

    count: int
    size: tuple[int, int]
    seed: int = 0

    def load(self, i: int) -> Sample:
        return every_field(*self.size, seed=self.seed + i)

    def digest(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()


def every_field(height: int, width: int, seed: int = 0) -> Sample:
    rng = np.random.default_rng(seed)
    lengths = {"H": height, "W": width, "N": 1 + seed % 3, "J": 17}
    channels = {"image": 3, "previous": 3, "flow": 2, "boxes": 5, "keypoints": 3}
    sample: Sample = {}
    for name, field in FIELDS.items():
        shape = [channels[name] if letter == "C" else lengths[letter] for letter in field.dims]
        sample[name] = (rng.random(shape) * 250).astype(field.dtype)
    sample["class"] = np.asarray(seed % 4, np.int64)
    places = rng.random((lengths["N"], 2, 2)) * [width, height]
    sample["boxes"][:, :4] = np.sort(places, axis=1).reshape(-1, 4)
    sample["boxes"][:, 4] = rng.integers(0, 5, lengths["N"])
    sample["keypoints"][..., :2] = rng.random((lengths["N"], 17, 2)) * [width, height]
    sample["keypoints"][..., 2] = rng.integers(1, 3, (lengths["N"], 17))
    return sample


@pytest.fixture
def make_split() -> Callable[..., Split]:
    def make(count: int, size: tuple[int, int] = (20, 24), seed: int = 0) -> Split:
        source = Arrays(count, size, seed)
        names = tuple(f"drawn {i}" for i in range(count))
        return Split(names, source.load, source.digest, {"class": ("a", "b", "c", "d")}, joints=COCO)

    return make


@pytest.fixture
def sample() -> Sample:
    return every_field(20, 24, seed=2)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    folder = tmp_path / "own cache"
    monkeypatch.setenv("XVISION_CACHE", str(folder))
    return folder
