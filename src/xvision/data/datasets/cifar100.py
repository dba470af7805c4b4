"""CIFAR-100."""

from __future__ import annotations

from pathlib import Path

from xvision.data.cifar import Archive, find_form, open_cifar
from xvision.data.dataset import Dataset
from xvision.data.datasets import dataset

_ARCHIVE = Archive(
    name="cifar100",
    folder="cifar-100-python",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    train=("train",),
    test=("test",),
    meta="meta",
    label_key="fine_labels",
    names_key="fine_label_names",
    num_classes=100,
)


@dataset
def cifar100(*, root: str = "cifar100") -> Dataset:
    """CIFAR-100: 60,000 images of 32x32 pixels in a hundred classes.

    `root` holds cifar-100-python/, cifar-100-python.tar.gz or packed JPEGs (train.npz, val.npz).
    """
    return open_cifar(_ARCHIVE, root)


def detect(root: Path) -> str | None:
    """'cifar100' if the set lies at `root` in one of its forms."""
    return "cifar100" if find_form(_ARCHIVE, root) else None
