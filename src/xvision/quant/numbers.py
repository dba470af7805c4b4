"""What numbers a device computes with: formats of tensors as plain data, ranges derived from bits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from xvision.quant.rules import Rule

LEAST_DB = 10.0
"""Signal to quantization noise of an output below which it has little to do with the float one."""


@dataclass(frozen=True)
class TensorQuant:
    """How one kind of tensor is stored as integers: value = (code - zero_point) * scale.

    `signed` is about the codes (int8 or uint8). `symmetric`: the zero point is 0, or for unsigned codes of a
    tensor that has negative values the middle, 2^(bits - 1); else it is wherever the range of the tensor puts it.
    `granularity`: one scale for the tensor or one for each output channel.
    """

    bits: int = 8
    signed: bool = True
    symmetric: bool = True
    granularity: Literal["tensor", "channel"] = "tensor"
    power_of_two: bool = True

    def __post_init__(self) -> None:
        if self.power_of_two and not self.symmetric:
            raise ValueError(
                "TensorQuant: expected symmetric=True with power_of_two=True, got symmetric=False; "
                "set power_of_two=False"
            )

    @property
    def low(self) -> int:
        """The smallest code.

        >>> TensorQuant(8, signed=True).low, TensorQuant(8, signed=False).low
        (-128, 0)
        """
        return -(1 << self.bits - 1) if self.signed else 0

    @property
    def high(self) -> int:
        """The largest code.

        >>> TensorQuant(8, signed=True).high, TensorQuant(8, signed=False).high
        (127, 255)
        """
        return self.low + (1 << self.bits) - 1

    @property
    def middle(self) -> int:
        """The code of zero in a symmetric tensor that has negative values."""
        return self.low + (1 << self.bits - 1)

    def zero_point(self, smallest: float, largest: float) -> int:
        """The code of zero in a tensor of values from `smallest` to `largest`.

        >>> TensorQuant(8, signed=False).zero_point(-1.0, 3.0)
        128
        >>> TensorQuant(8, signed=False, symmetric=False, power_of_two=False).zero_point(-1.0, 3.0)
        64
        """
        if self.symmetric:
            return self.middle if smallest < 0 else 0
        below, above = max(-smallest, 0.0), max(largest, 0.0)
        return self.low + round(below / ((below + above) or 1.0) * (self.high - self.low))


@dataclass(frozen=True)
class QuantScheme:
    """What a device computes with: the formats of the four kinds of tensors, and what its operators do with them.

    `bias` has no range of its own: its scale is that of the layer's input times that of its weights, so that it
    is added to the accumulator as it is. `heads` are the network's outputs.

    Raises: ValueError for weights or a bias with a zero point.
    """

    name: str
    weights: TensorQuant
    activations: TensorQuant
    bias: TensorQuant
    heads: TensorQuant
    rules: Mapping[str, Rule]
    """Operator -> what it asks of the scales of its inputs and output; those not named compute in float."""
    known_ranges: Mapping[str, tuple[float, float]]
    """Operator -> smallest and largest value of its output, where no image is needed to tell."""
    tolerance_lsb: int
    """By how many codes a runtime may differ from the simulation: 0 where scales are powers of two, which is exact."""

    def __post_init__(self) -> None:
        for kind, numbers in (("weights", self.weights), ("bias", self.bias)):
            if not (numbers.signed and numbers.symmetric):
                raise ValueError(
                    f"scheme {self.name}: expected signed, symmetric {kind}, got {numbers}; "
                    "products of zero points are not simulated"
                )

    @property
    def exceptions(self) -> str:
        """What has other bits than weights and most tensors, for headings that name the network by these."""
        if self.heads.bits == self.activations.bits:
            return ""
        return f"outputs in {self.heads.bits} bits"

    def rule(self, operator: str) -> Rule:
        """The rule of an operator; operators that are not in the table compute in float between two quantizers."""
        return self.rules.get(operator, "float")
