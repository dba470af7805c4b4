"""Whatever data set lies at the given place."""

from __future__ import annotations

from xvision.data.dataset import Dataset
from xvision.data.datasets import dataset


@dataset
def auto(*, root: str = "") -> Dataset:
    """The data set in the folder `root`, recognised by its files (see `xvision.data.detect`)."""
    from xvision.data.detect import detect

    found: Dataset = detect(root).build()
    return found
