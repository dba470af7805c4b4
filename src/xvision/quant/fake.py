"""Quantized numbers simulated in float: what training sees is, to the last bit, what the device computes."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xvision.graph.operators import MODULES, Layer, PaddedConv2d
from xvision.quant.numbers import QuantScheme, TensorQuant
from xvision.quant.ops import dequantize, steps

EXACT = 1 << 24
"""Sums of integers are exact in float32 below this, whatever their order."""


class FakeQuantize(torch.autograd.Function):
    """Round to the lattice; the gradient passes where the rounded value is in range.

    The test is on the *rounded* value, bounds included, as in Jain et al. 2020, eq. 8: `torch.clamp` gives no
    gradient at the bound, so weights at the end codes would stop learning.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
        if ctx.needs_input_grad[0]:
            rounded = torch.round(x / scale)
            ctx.save_for_backward((rounded >= low) & (rounded <= high))
        return steps(x, scale, low, high).mul_(scale)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (inside,) = ctx.saved_tensors
        return grads[0] * inside, None, None, None


def fake_quantize(x: Tensor, scale: Tensor, low: int, high: int) -> Tensor:
    """`x` rounded to whole steps of `scale` in [low, high], differentiable (straight-through)."""
    result: Tensor = FakeQuantize.apply(x, scale, low, high)
    return result


class Quantizer(nn.Module):
    """The lattice of one tensor, or of several tensors that share scale and zero point (then called for each).

    Until its range is set it lets everything pass.
    """

    scale: Tensor

    def __init__(self, numbers: TensorQuant) -> None:
        super().__init__()
        self.numbers = numbers
        self.zero_point = 0
        self.ready = False
        self.register_buffer("scale", torch.tensor(0.0))

    def set(self, scale: float, zero_point: int) -> None:
        assert scale > 0
        assert self.numbers.low <= zero_point <= self.numbers.high
        self.scale.fill_(scale)
        self.zero_point = zero_point
        self.ready = True

    @property
    def low(self) -> int:
        """Smallest number of steps from zero."""
        return self.numbers.low - self.zero_point

    @property
    def high(self) -> int:
        """Largest number of steps from zero."""
        return self.numbers.high - self.zero_point

    def forward(self, x: Tensor) -> Tensor:
        return fake_quantize(x, self.scale, self.low, self.high) if self.ready else x

    def codes(self, x: Tensor) -> Tensor:
        """The integer codes of `x`, int32."""
        return (steps(x, self.scale, self.low, self.high) + self.zero_point).to(torch.int32)

    def extra_repr(self) -> str:
        sign = "int" if self.numbers.signed else "uint"
        return f"{sign}{self.numbers.bits}, scale={self.scale.item():g}, zero_point={self.zero_point}"


class QuantLayer(nn.Module):
    """A convolution, transposed convolution or linear layer with integer weights and an int32 bias.

    `weight` and `bias` are float parameters that are rounded at every call (they can be trained), or after
    `freeze` the integer codes themselves. The bias lies on the grid of the accumulator, scale of the input times
    scale of the weights, in simulation too: a float bias would be rounded behind our back by the runtime.
    """

    weight: Tensor
    bias: Tensor
    weight_scale: Tensor
    bias_scale: Tensor

    def __init__(self, layer: Layer, scheme: QuantScheme, source: Quantizer) -> None:
        super().__init__()
        outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
        self.kind = MODULES[type(layer)]
        self.pad = layer.pad if isinstance(layer, PaddedConv2d) else (0, 0, 0, 0)
        self.options: dict[str, Any] = {
            key: getattr(layer, key)
            for key in ("stride", "padding", "dilation", "groups", "output_padding")
            if hasattr(layer, key) and (key != "output_padding" or self.kind == "conv_transpose")
        }
        self.numbers, self.bias_numbers = scheme.weights, scheme.bias
        self._source = (source,)  # in a tuple: it is a module of the graph already
        bias = layer.weight.new_zeros(outputs) if layer.bias is None else layer.bias
        self.weight = nn.Parameter(layer.weight.detach().clone())
        self.bias = nn.Parameter(bias.detach().clone())
        # transposed: the output channels are not the first axis, and grouped ones are on no single axis
        per_channel = self.numbers.granularity == "channel" and self.kind != "conv_transpose"
        self.register_buffer("weight_scale", torch.zeros(outputs if per_channel else ()))
        self.ready = False

    @property
    def source(self) -> Quantizer:
        """The lattice of this layer's input."""
        return self._source[0]

    @property
    def frozen(self) -> bool:
        return not self.weight.is_floating_point()

    def set_weight_scale(self, scale: Tensor) -> None:
        self.weight_scale.copy_(scale)
        self.ready = True

    def accumulator_scale(self) -> Tensor:
        return self.source.scale * self.weight_scale

    def spread(self, scale: Tensor) -> Tensor:
        """A scale of the weights in a shape that broadcasts against them."""
        return scale.reshape(-1, *[1] * (self.weight.ndim - 1)) if scale.ndim else scale

    def parameters_on_lattice(self) -> tuple[Tensor, Tensor]:
        if self.frozen:
            return dequantize(self.weight, self.weight_scale), dequantize(self.bias, self.bias_scale)
        if not (self.ready and self.source.ready):
            return self.weight, self.bias
        w, b = self.numbers, self.bias_numbers
        return (
            fake_quantize(self.weight, self.spread(self.weight_scale), w.low, w.high),
            fake_quantize(self.bias, self.accumulator_scale(), b.low, b.high),
        )

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.parameters_on_lattice()
        if self.kind == "linear":
            return F.linear(x, weight, bias)
        if self.kind == "conv_transpose":
            return F.conv_transpose2d(x, weight, bias, **self.options)
        if any(self.pad):
            x = F.pad(x, self.pad)
        return F.conv2d(x, weight, bias, **self.options)

    def codes(self) -> tuple[Tensor, Tensor]:
        """Weights as int8 and bias as int32."""
        if self.frozen:
            return self.weight, self.bias
        w, b = self.numbers, self.bias_numbers
        with torch.no_grad():
            weight = steps(self.weight, self.spread(self.weight_scale), w.low, w.high).to(torch.int8)
            # in double: float32 cannot hold the largest int32
            bias = steps(self.bias.double(), self.accumulator_scale().double(), b.low, b.high).to(torch.int32)
        return weight, bias

    def freeze(self, codes: tuple[Tensor, Tensor] | None = None) -> None:
        """Replace the float parameters by their integer codes, or by given ones."""
        weight, bias = codes or self.codes()
        del self.weight, self.bias
        self.register_buffer("weight", weight)
        self.register_buffer("bias", bias)
        self.register_buffer("bias_scale", self.accumulator_scale())
        self.ready = True

    def accumulator_bound(self) -> int:
        """No input produces a larger sum, in steps of the bias; float32 is exact below 2^24."""
        weight, bias = (c.to(torch.int64).abs() for c in self.codes())
        if self.kind == "conv_transpose":  # (in, out / groups, kernel), the groups stacked along in
            of_groups = weight.reshape(self.options["groups"], -1, *weight.shape[1:])
            weight = of_groups.transpose(1, 2).flatten(0, 1)
        total = weight.flatten(1).sum(1) * max(-self.source.low, self.source.high)
        return int((total + bias).max())

    def extra_repr(self) -> str:
        return f"{self.kind}, weight={tuple(self.weight.shape)}, {'integers' if self.frozen else 'float'}"
