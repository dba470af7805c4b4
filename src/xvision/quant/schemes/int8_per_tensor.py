"""Free scales per tensor, for NPUs that compute a scale for each channel slowly or not at all.

An STM32MP257 runs MobileNetV2 six times slower with a scale for each channel (11.9 and 76.3 ms by ST's tables).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from xvision.quant.numbers import QuantScheme
from xvision.quant.schemes import scheme
from xvision.quant.schemes.int8 import int8


@scheme
def int8_per_tensor(*, head_bits: Literal[8, 16] = 16) -> QuantScheme:
    """Free scales, one for the weights of a layer; uint8 activations with a zero point."""
    per_channel: QuantScheme = int8(head_bits=head_bits)
    return replace(
        per_channel,
        name="int8_per_tensor",
        weights=replace(per_channel.weights, granularity="tensor"),
        bias=replace(per_channel.bias, granularity="tensor"),
    )
