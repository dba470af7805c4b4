"""Of the corrections of a layer, the one stays that helps on inputs which it was not fitted to."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xvision.quant.correct import Pairs, correct
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.numbers import TensorQuant
from xvision.quant.observer import set_weight_scale
from xvision.quant.reconstruct import correct_bias, reconstruct
from xvision.quant.schemes import scheme


def layer_and_inputs() -> tuple[QuantLayer, nn.Linear, list[Tensor], list[Tensor]]:
    """A linear layer with 4-bit weights, and quantized inputs in two halves that are alike."""
    torch.manual_seed(0)
    original = nn.Linear(8, 6)
    source = Quantizer(TensorQuant(8, signed=False))
    source.set_range(2.0**-5, 0)
    layer = QuantLayer.of(original, scheme.pow2().build(), source)
    layer.numbers = TensorQuant(4)
    set_weight_scale(layer)
    mixing = torch.rand(8, 8)
    first, second = (source(torch.rand(200, 8) @ mixing) for _ in range(2))
    return layer, original, [first], [second]


@torch.no_grad()
def test_a_correction_that_helps_is_kept() -> None:
    layer, original, fitted, unseen = layer_and_inputs()
    quality = correct(
        layer,
        Pairs(fitted, [original(x) for x in fitted]),
        Pairs(unseen, [original(x) for x in unseen]),
        {"bias": correct_bias, "weights": reconstruct},
    )
    assert quality.correction == "weights"
    error = (layer(unseen[0]) - original(unseen[0])).square().sum()
    signal = original(unseen[0]).square().sum()
    assert abs(quality.sqnr_db - float(10 * torch.log10(signal / error))) < 0.01


@torch.no_grad()
def test_a_correction_that_helps_on_its_own_images_alone_is_dropped() -> None:
    layer, original, fitted, unseen = layer_and_inputs()
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    elsewhere = [original(x) + 5 for x in fitted]  # targets that the other images do not have
    quality = correct(
        layer,
        Pairs(fitted, elsewhere),
        Pairs(unseen, [original(x) for x in unseen]),
        {"bias": correct_bias, "weights": reconstruct},
    )
    assert quality.correction == "nothing"
    assert all(torch.equal(value, before[key]) for key, value in layer.state_dict().items())
