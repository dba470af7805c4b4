"""Powers of two: what fixed-point accelerators compute with, and what a float simulation repeats exactly.

All values are integers times 2^k, so sums in float32 are exact below 2^24 whatever their order, and rescaling is
exact too. Per-tensor, symmetric int8 as in Jain et al., "Trained Quantization Thresholds" (MLSys 2020), section 3.
"""

from __future__ import annotations

from typing import Literal

from xvision.quant.numbers import QuantScheme, TensorQuant
from xvision.quant.rules import KNOWN_RANGES, RULES
from xvision.quant.schemes import scheme


@scheme
def pow2(*, weights: Literal["tensor", "channel"] = "tensor", head_bits: Literal[8, 16] = 16) -> QuantScheme:
    """Power-of-two scales, symmetric int8.

    Signed activations are unsigned codes around 128: the same quantization grid as int8 around 0, and the form that
    ONNX Runtime fuses. Heads have 16 bits, because 8 make many class scores equal and a depth map coarse.
    """
    return QuantScheme(
        "pow2",
        weights=TensorQuant(8, granularity=weights),
        activations=TensorQuant(8, signed=False),
        bias=TensorQuant(32, granularity=weights),
        heads=TensorQuant(head_bits, signed=head_bits == 16),
        rules=RULES,
        known_ranges=KNOWN_RANGES,
        tolerance_lsb=0,
    )
