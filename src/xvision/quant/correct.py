"""The correction of a layer that helps most on images which it was not fitted to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from xvision.quant.fake import QuantLayer
from xvision.quant.ops import decibels, squared_error
from xvision.quant.quality import LayerQuality

Correction = Callable[[QuantLayer, list[Tensor], list[Tensor]], None]
"""Changes a layer, given its inputs in the quantized network and its outputs in the float one."""


@dataclass(frozen=True)
class Pairs:
    """Inputs of a layer in the quantized network, and its outputs in the float one."""

    inputs: list[Tensor]
    targets: list[Tensor]


def correct(
    layer: QuantLayer, fitted: Pairs, judged: Pairs, ways: Mapping[str, Correction], before: str = "nothing"
) -> LayerQuality:
    """Try corrections on `fitted` and keep the one of least error on `judged`, or none if none is better.

    `before` is what was corrected already.
    """
    best, least, state = before, _error(layer, judged), _state(layer)
    plain = state
    for name, way in ways.items():
        layer.load_state_dict(plain)
        way(layer, fitted.inputs, fitted.targets)
        error = _error(layer, judged)
        if error < least:
            best, least, state = name, error, _state(layer)
    layer.load_state_dict(state)
    signal = sum(float(y.double().square().sum()) for y in judged.targets)
    return LayerQuality(best, decibels(signal, least))


def _error(layer: QuantLayer, pairs: Pairs) -> float:
    return sum(squared_error(layer(x), y) for x, y in zip(pairs.inputs, pairs.targets, strict=True))


def _state(layer: QuantLayer) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in layer.state_dict().items()}
