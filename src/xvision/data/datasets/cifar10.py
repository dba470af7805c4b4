"""CIFAR-10."""

from __future__ import annotations

from pathlib import Path

from xvision.data.cifar import Archive, find_form, open_cifar
from xvision.data.dataset import Dataset
from xvision.data.datasets import dataset

_ARCHIVE = Archive(
    name="cifar10",
    folder="cifar-10-batches-py",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    train=tuple(f"data_batch_{n}" for n in range(1, 6)),
    test=("test_batch",),
    meta="batches.meta",
    label_key="labels",
    names_key="label_names",
    num_classes=10,
)


@dataset
def cifar10(*, root: str = "cifar10") -> Dataset:
    """CIFAR-10: 60,000 images of 32x32 pixels in ten classes.

    `root` holds cifar-10-batches-py/, cifar-10-python.tar.gz or packed JPEGs (train.npz, val.npz).
    """
    return open_cifar(_ARCHIVE, root)


def detect(root: Path) -> str | None:
    """'cifar10' if the set lies at `root` in one of its forms."""
    return "cifar10" if find_form(_ARCHIVE, root) else None
