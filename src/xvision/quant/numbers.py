"""What numbers a device computes with: formats of tensors as plain data, ranges derived from bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class TensorQuant:
    """How one kind of tensor is stored as integers: value = (code - zero_point) * scale.

    `signed` is about the codes (int8 or uint8). `symmetric`: the zero point is 0, or for unsigned codes of a
    tensor that has negative values the middle, 2^(bits - 1). `granularity`: one scale for the tensor or one
    for each output channel.
    """

    bits: int = 8
    signed: bool = True
    symmetric: bool = True
    granularity: Literal["tensor", "channel"] = "tensor"
    power_of_two: bool = True

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


@dataclass(frozen=True)
class QuantScheme:
    """The formats of the four kinds of tensors in a network.

    `bias` has no range of its own: its scale is that of the layer's input times that of its weights, so that it
    is added to the accumulator as it is. `heads` are the network's outputs.
    """

    name: str
    weights: TensorQuant
    activations: TensorQuant
    bias: TensorQuant
    heads: TensorQuant
