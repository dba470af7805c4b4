"""How near a quantized network is to its float original, on images that nothing was fitted to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx

from xvision.quant.calibration import Batches
from xvision.quant.numbers import LEAST_DB
from xvision.quant.ops import decibels, squared_error

WORST_LAYERS = 3


@dataclass(frozen=True)
class LayerQuality:
    """Of one layer: the correction that was kept, and signal to quantization noise of its outputs."""

    correction: str
    sqnr_db: float


@dataclass(frozen=True)
class Quality:
    """Signal to quantization noise of the outputs, with the corrections that were kept and without any.

    With `num_judged` 0 there were too few images to hold some back. `dropped`: all corrections, for they did not help.
    """

    num_fitted: int
    num_judged: int
    heads_db: dict[str, float]
    heads_db_before: dict[str, float]
    layers: dict[str, LayerQuality] = field(default_factory=dict)
    dropped: bool = False

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
