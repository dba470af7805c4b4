"""What several tests share: small folders of images, and a cache of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

# Networks here are tiny: a second thread mostly waits, and on a shared machine it waits by spinning.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests neither read nor fill the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XVISION_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def write_images(root: Path, num_train: int = 12, num_val: int = 6) -> Path:
    """Two classes that a network can tell apart: mostly red and mostly blue pictures, 40x48."""
    rng = np.random.default_rng(0)
    for split, num in (("train", num_train), ("val", num_val)):
        for name, channel in (("blue", 0), ("red", 2)):
            folder = root / split / name
            folder.mkdir(parents=True)
            for i in range(num):
                image = rng.integers(0, 90, (40, 48, 3), dtype=np.uint8)
                image[..., channel] += 150
                assert cv2.imwrite(str(folder / f"{i:02}.png"), image)
    return root


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    return write_images(tmp_path / "colours")
