"""How near a quantized network is to its float original, on images that nothing was fitted to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, fx

from xvision.quant.calibration import Batches
from xvision.quant.numbers import LEAST_DB
from xvision.quant.ops import decibels, squared_error

WORST_LAYERS = 3


@dataclass(frozen=True)
class LayerQuality:
    """Of one layer: the fitting of it that was kept, and signal to quantization noise of its outputs."""

    correction: str
    sqnr_db: float


@dataclass(frozen=True)
class RungQuality:
    """What one step of a quantization gave: signal to quantization noise of the outputs with it.

    `kept`: whether it stayed in; one that makes the outputs worse does not. `seconds` are those on the clock. Where
    labelled images were judged too: the task's primary metric on them, how far that is behind the float network's, and
    the standard error of this drop.
    """

    name: str
    kept: bool
    heads_db: dict[str, float]
    seconds: float = 0.0
    metric: float | None = None
    drop: float | None = None
    standard_error: float | None = None


@dataclass(frozen=True)
class Quality:
    """Signal to quantization noise of the outputs, rung by rung, on images that nothing was fitted to.

    With `num_judged` 0 there were too few images to hold some back. `layers` are those that a rung has fitted.
    """

    num_fitted: int
    num_judged: int
    rungs: tuple[RungQuality, ...]
    layers: dict[str, LayerQuality] = field(default_factory=dict)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Quality:
        """What `plain` was made of."""
        rungs = tuple(RungQuality(**one) for one in plain["rungs"])
        layers = {name: LayerQuality(**one) for name, one in plain["layers"].items()}
        return cls(**{**plain, "rungs": rungs, "layers": layers})

    def plain(self) -> dict[str, Any]:
        """Plain data that is the same whenever the network is: without seconds."""
        return asdict(replace(self, rungs=tuple(replace(one, seconds=0.0) for one in self.rungs)))

    @property
    def heads_db(self) -> dict[str, float]:
        """Of each output, as the network is now."""
        return [one for one in self.rungs if one.kept][-1].heads_db

    @property
    def heads_db_before(self) -> dict[str, float]:
        """With the first ranges alone."""
        return self.rungs[0].heads_db

    @property
    def dropped(self) -> bool:
        """Whether nothing after the first ranges helped."""
        return len(self.rungs) > 1 and not any(one.kept for one in self.rungs[1:])

    @property
    def weakest(self) -> str:
        """The layers whose outputs have the most quantization noise, as text."""
        ordered = sorted(self.layers.items(), key=lambda item: item[1].sqnr_db)[:WORST_LAYERS]
        return ", ".join(f"{name} ({layer.sqnr_db:.0f} dB)" for name, layer in ordered)

    @property
    def poor(self) -> dict[str, float]:
        """The outputs that have little to do with the float ones."""
        return {name: db for name, db in self.heads_db.items() if db < LEAST_DB}


def heads_db(
    graph: fx.GraphModule, wanted: Iterable[Mapping[str, Tensor]], batches: Batches
) -> dict[str, float]:
    """Signal to quantization noise of each float output, over all images."""
    signal: dict[str, float] = {}
    noise: dict[str, float] = {}
    with torch.no_grad():
        for planes, outputs in zip(batches, wanted, strict=True):
            for name, y in graph(*planes).items():
                if y.is_floating_point():
                    signal[name] = signal.get(name, 0.0) + float(outputs[name].double().square().sum())
                    noise[name] = noise.get(name, 0.0) + squared_error(y, outputs[name])
    return {name: decibels(signal[name], noise[name]) for name in signal}
