"""The correction of a layer that helps most on images which it was not fitted to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from xvision.quant.fake import QuantLayer
from xvision.quant.ops import decibels, squared_error
from xvision.quant.quality import LayerQuality
from xvision.quant.reconstruct import correct_bias, reconstruct


@dataclass(frozen=True)
class Pairs:
    """Inputs of a layer in the quantized network, and its outputs in the float one."""

    inputs: list[Tensor]
    targets: list[Tensor]


CORRECTIONS: dict[str, Callable[[QuantLayer, list[Tensor], list[Tensor]], None]] = {
    "bias": correct_bias,
    "weights": reconstruct,
}
"""From the mildest to the strongest."""


def allowed(strongest: str) -> Sequence[str]:
    """The corrections up to one.

    >>> allowed("nothing"), allowed("bias"), allowed("weights")
    ([], ['bias'], ['bias', 'weights'])
    """
    names = list(CORRECTIONS)
    return names[: names.index(strongest) + 1] if strongest in names else []


def correct(layer: QuantLayer, fitted: Pairs, judged: Pairs, names: Sequence[str]) -> LayerQuality:
    """Try the corrections on `fitted` and keep the one of least error on `judged`, or none if none is better."""
    best, least, state = "nothing", _error(layer, judged), _state(layer)
    plain = state
    for name in names:
        layer.load_state_dict(plain)
        CORRECTIONS[name](layer, fitted.inputs, fitted.targets)
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
