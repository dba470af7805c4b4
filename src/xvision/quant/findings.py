"""What an analysis of sensitivity has found, in plain values: for a file, a record, a report and a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["weights", "activations"]


@dataclass(frozen=True)
class SiteSensitivity:
    """What it costs to round at one place: the weights of a layer, or the tensors on one quantization grid.

    `alone_db`: signal to quantization noise of each output when this is the only place that rounds; `without_db`: when
    it is the only one that does not. The metrics likewise, of labelled images.
    """

    kind: Kind
    name: str
    layers: tuple[str, ...]
    """What a plan calls it: the layer, or those that give the tensors."""
    readers: tuple[str, ...]
    """The layers that multiply these numbers."""
    bits: int
    alone_db: dict[str, float]
    without_db: dict[str, float]
    alone_metric: float | None = None
    without_metric: float | None = None

    @property
    def noise(self) -> float:
        """Noise over signal of the outputs, where it alone rounds; their mean."""
        return noise_ratio(self.alone_db)


@dataclass(frozen=True)
class OutlierChannel:
    """A channel whose largest value is `ratio` times that of the median channel: it takes the bits of all others."""

    kind: Kind
    name: str
    channel: int
    ratio: float


@dataclass(frozen=True)
class RangeConflict:
    """Inputs of one operator on one grid, and the bits that the smallest of them loses to the largest."""

    operator: str
    name: str
    ranges: dict[str, float]
    """Largest magnitude of each input."""
    bits_lost: float


@dataclass(frozen=True)
class Sensitivity:
    """Where a quantized network loses its signal, and on how many images that was measured."""

    num_images: int
    heads_db: dict[str, float]
    """Of each output, with all places rounding."""
    sites: tuple[SiteSensitivity, ...]
    macs: dict[str, int] = field(default_factory=dict)
    """Multiply-accumulates of each layer that multiplies."""
    outliers: tuple[OutlierChannel, ...] = ()
    conflicts: tuple[RangeConflict, ...] = ()
    metric: str = ""
    """The metric that was measured on `num_labelled` images, if one was."""
    larger_is_better: bool = True
    num_labelled: int = 0
    float_metric: float | None = None
    int8_metric: float | None = None

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Sensitivity:
        """From what `dataclasses.asdict` has made of one, and JSON of that."""
        sites = tuple(
            SiteSensitivity(**{**one, "layers": tuple(one["layers"]), "readers": tuple(one["readers"])})
            for one in plain["sites"]
        )
        outliers = tuple(OutlierChannel(**one) for one in plain["outliers"])
        conflicts = tuple(RangeConflict(**one) for one in plain["conflicts"])
        return cls(**{**plain, "sites": sites, "outliers": outliers, "conflicts": conflicts})

    @property
    def noise(self) -> float:
        """Noise over signal of the outputs; their mean."""
        return noise_ratio(self.heads_db)

    @property
    def total(self) -> float:
        """The noise of all places, each alone."""
        return sum(site.noise for site in self.sites)

    def share(self, site: SiteSensitivity) -> float:
        """Of the noise of all places, each alone."""
        return site.noise / self.total if self.total else 0.0

    @property
    def worst(self) -> list[SiteSensitivity]:
        """The places, that of most noise first."""
        return sorted(self.sites, key=lambda site: -site.noise)


def noise_ratio(db: Mapping[str, float]) -> float:
    """Noise over signal, the mean over outputs.

    >>> noise_ratio({"a": 10.0, "b": 20.0})
    0.055
    """
    return sum(10 ** (-value / 10) for value in db.values()) / max(1, len(db))


def signal_db(ratio: float) -> float:
    """Signal over noise in dB of noise over signal, at most 200.

    >>> signal_db(0.01), signal_db(0.0)
    (20.0, 200.0)
    """
    return min(200.0, -10 * math.log10(max(ratio, 1e-20)))
