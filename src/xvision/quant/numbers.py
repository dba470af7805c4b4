"""What numbers a device computes with: formats of tensors as plain data, ranges derived from bits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Literal

from xvision.config.messages import nearest
from xvision.quant.bits import Bits
from xvision.quant.rules import Rule

Rounding = Literal["half_even", "half_up", "double"]
"""To which whole number a device rounds what lies between two: to the nearest, of two equally near ones to the even one
(ONNX Runtime, LiteRT's convolutions, ESP32-P4) or to the larger one (TI, ESP32-S3); or twice, by a fixed-point
multiplication and a shift (TensorFlow Lite Micro, CMSIS-NN), see `fixed_point`."""

LEAST_DB = 10.0
"""Signal to quantization noise of an output below which it has little to do with the float one."""


@dataclass(frozen=True)
class TensorQuant:
    """How one kind of tensor is stored as integers: value = (code - zero_point) * scale.

    `signed` is about the codes (int8 or uint8). `symmetric`: the zero point is 0, or for unsigned codes of a
    tensor that has negative values the middle, 2^(bits - 1); else it is wherever the range of the tensor puts it.
    `granularity`: one scale for the tensor or one for each output channel. `rounding`: of values that are computed;
    stored ones (weights and biases) are rounded before they come to a device, half to even.
    """

    bits: int = 8
    signed: bool = True
    symmetric: bool = True
    granularity: Literal["tensor", "channel"] = "tensor"
    power_of_two: bool = True
    rounding: Rounding = "half_even"

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

    def with_bits(self, bits: int | None) -> TensorQuant:
        """The format with other bits, None for its own; computed values of 16 bits are signed, as devices have them.

        >>> TensorQuant(8, signed=False).with_bits(16) == TensorQuant(16, signed=True)
        True
        """
        if bits in (None, self.bits):
            return self
        wide = bits > 8
        return replace(self, bits=bits, signed=self.signed or wide, symmetric=self.symmetric or wide)


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
    """By how many codes an operator of a runtime may differ, given the same codes: 0 where scales are powers of two,
    which is exact."""
    accumulator_bits: int = 32
    """Of the sums of products; a layer whose sums could need more is refused."""
    weight_clip: bool = False
    """Whether weights far beyond the others are clipped, see `weight_clip`."""
    float_operators: Literal["allow", "refuse"] = "allow"
    """Whether operators without a rule may compute in float, between integers; those named in `layers` may."""
    layers: Mapping[str, Bits] = field(default_factory=dict)
    """Pattern of layer names -> other bits for the layers that it fits, the last one that fits decides."""

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

    @property
    def rounding(self) -> Rounding:
        """How computed values are rounded."""
        return self.activations.rounding

    def bits(self, layer: str) -> Bits:
        """What a layer has of its own."""
        fits = [bits for pattern, bits in self.layers.items() if fnmatchcase(layer, pattern)]
        return fits[-1] if fits else Bits()

    def weights_of(self, layer: str) -> TensorQuant:
        """The format of a layer's weights."""
        return self.weights.with_bits(self.bits(layer).weights)

    def tensor_of(self, layers: Iterable[str], *, head: bool = False) -> TensorQuant:
        """The format of a tensor that these layers give: if one of them has bits of its own, the most of these."""
        own = [bits for layer in layers if (bits := self.bits(layer).activations) is not None]
        return (self.heads if head else self.activations).with_bits(max(own) if own else None)

    def check_layers(self, known: Iterable[str]) -> None:
        """Raise ValueError for a pattern that fits none of the `known` layers."""
        names = list(known)
        for pattern in self.layers:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ValueError(
                    f"quant.layers: expected names or patterns of layers, got '{pattern}', which fits none; "
                    f"{nearest(pattern, names)}"
                )

    def rule(self, operator: str) -> Rule:
        """The rule of an operator; operators that are not in the table compute in float between two quantizers."""
        return self.rules.get(operator, "float")
