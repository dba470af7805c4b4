"""Changes of a sample's colours and mixtures of samples, through torchvision's v2 transforms.

Geometry (see `xvision.data.geometry`) has its own place, so RandAugment is restricted to its photometric operations:
its shears, translations and rotations would move the image away from its labels. The two frames of a pair get the
same change. torchvision draws from torch's global CPU generator, which is seeded for each sample and put back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xvision.data.settings import Augment


class Photometry:
    """The photometric settings of `Augment`, ready to be applied to batches."""

    def __init__(
        self, augment: Augment, fields: tuple[str, ...], classes: Mapping[str, tuple[str, ...]]
    ) -> None:
        self.augment = augment

    def change(self, batch: dict[str, Any], seed: int, epoch: int, indices: Any) -> None: ...

    def mix(self, batch: dict[str, Any], seed: int, epoch: int, number: int, rank: int) -> None: ...
