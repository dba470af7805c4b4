"""Quantized numbers simulated in float: what training sees is, to the last bit, what the device computes.

All state is in buffers, integers as integers: a state_dict, a moving average, a checkpoint and DDP hold all of it.
A range that is still to be found is a scale of zero.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xvision.graph.operators import LAYERS, Layer, PaddedConv2d
from xvision.quant.fixed_point import first_rounding
from xvision.quant.numbers import QuantScheme, Rounding, TensorQuant
from xvision.quant.ops import dequantize, rounded, steps
from xvision.quant.weight_clip import clipped

EXACT = 1 << 24
"""Sums of integers are exact in float32 below this, whatever their order."""


class FakeQuantize(torch.autograd.Function):
    """Round to the quantization grid; the gradient passes where the rounded value is in range.

    The test is on the *rounded* value, bounds included, as in Jain et al. 2020, eq. 8: `torch.clamp` gives no
    gradient at the bound, so weights at the end codes would stop learning. That of the scale is code - x / scale in
    range and the end code outside: eq. 6 there, and Esser et al., "Learned Step Size Quantization" (ICLR 2020), eq. 3.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, low: int, high: int, rounding: Rounding) -> Tensor:
        values = rounded(x, scale, rounding).clamp_(low, high).mul_(scale)
        ctx.rounding, ctx.bounds = rounding, (low - 0.5, high + 0.5)
        ctx.save_for_backward(x, scale, values)  # which the neighbours keep anyway: no memory of its own
        return values

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor | None, None, None, None]:
        x, scale, values = ctx.saved_tensors
        (grad,) = grads
        # rounded once more: a mask costs twice as much as that, to make and to apply
        whole = rounded(x, scale, ctx.rounding)
        inside: Tensor = torch.ops.aten.hardtanh_backward(grad, whole, *ctx.bounds)
        of_scale = _of_scale(grad, inside, x, scale, values) if ctx.needs_input_grad[1] else None
        return inside, of_scale, None, None, None


def _of_scale(grad: Tensor, inside: Tensor, x: Tensor, scale: Tensor, values: Tensor) -> Tensor:
    """The gradient of a scale, given those of the values and of x: times the scale, it is values - x or the end."""
    if scale.ndim or torch.compiler.is_compiling():  # a compiler makes one pass of it
        total = (inside * (values - x) + (grad - inside) * values).sum_to_size(scale.shape)
    else:
        grad, inside, moved, values = (_as_it_lies(one, values) for one in (grad, inside, values - x, values))
        total = torch.dot(inside, moved) + (torch.dot(grad, values) - torch.dot(inside, values))
    return total / scale


def _as_it_lies(x: Tensor, like: Tensor) -> Tensor:
    """All values in the order that those of `like` have in memory, so that nothing is copied."""
    last = like.ndim == 4 and like.is_contiguous(memory_format=torch.channels_last)
    return (x.permute(0, 2, 3, 1) if last else x).reshape(-1)


def fake_quantize(x: Tensor, scale: Tensor, low: int, high: int, rounding: Rounding = "half_even") -> Tensor:
    """`x` rounded to whole steps of `scale` in [low, high], differentiable in both (straight-through)."""
    result: Tensor = FakeQuantize.apply(x, scale, low, high, rounding)
    return result


class Scaled(nn.Module, ABC):
    """A module with a scale in a buffer, which is zero until its range is set."""

    _ready = False

    @abstractmethod
    def scales(self) -> Tensor:
        """All scales of the module."""

    @property
    def ready(self) -> bool:
        """Whether the range is set; once it is, nothing is read again, since that would wait for the device."""
        if not self._ready:
            self._ready = bool((self.scales() > 0).all())
        return self._ready

    def _load_from_state_dict(self, *args: Any) -> None:
        self._ready = False
        super()._load_from_state_dict(*args)


class Quantizer(Scaled):
    """The quantization grid of one tensor, or of several that share scale and zero point (then called for each).

    Until its range is set it lets everything pass.
    """

    scale: Tensor
    zero_point: Tensor
    _zero: int | None = None

    def __init__(self, numbers: TensorQuant) -> None:
        super().__init__()
        self.numbers = numbers
        self.register_buffer("scale", torch.tensor(0.0))
        self.register_buffer("zero_point", torch.tensor(0, dtype=torch.int32))

    def set_range(self, scale: float, zero_point: int) -> None:
        assert scale > 0
        assert self.numbers.low <= zero_point <= self.numbers.high
        self.scale.fill_(scale)
        self.zero_point.fill_(zero_point)
        self._zero = None

    def reopen(self) -> None:
        """Forget the range: everything passes again."""
        self.scale.zero_()
        self._ready = False

    def scales(self) -> Tensor:
        return self.scale

    @property
    def zero(self) -> int:
        """The zero point as a number, read once, since that would wait for the device and break a compiled graph."""
        if self._zero is None:
            self._zero = int(self.zero_point)
        return self._zero

    @property
    def low(self) -> int:
        """Smallest number of steps from zero."""
        return self.numbers.low - self.zero

    @property
    def high(self) -> int:
        """Largest number of steps from zero."""
        return self.numbers.high - self.zero

    def forward(self, x: Tensor) -> Tensor:
        if not self.ready:
            return x
        return fake_quantize(x, self.scale, self.low, self.high, self.numbers.rounding).float()

    def _load_from_state_dict(self, *args: Any) -> None:
        self._zero = None
        super()._load_from_state_dict(*args)

    def codes(self, x: Tensor) -> Tensor:
        """The integer codes of `x`, int32."""
        whole = steps(x, self.scale, self.low, self.high, self.numbers.rounding)
        return (whole + self.zero_point).to(torch.int32)

    def values(self, codes: Tensor) -> Tensor:
        """What integer codes stand for."""
        return (codes.to(torch.int32) - self.zero_point).float() * self.scale

    def extra_repr(self) -> str:
        sign = "int" if self.numbers.signed else "uint"
        return f"{sign}{self.numbers.bits}, scale={self.scale.item():g}, zero_point={int(self.zero_point)}"


@dataclass(frozen=True)
class LayerForm:
    """What a layer computes, and with which numbers, its weights apart."""

    kind: str
    pad: tuple[int, int, int, int]
    options: Mapping[str, Any]
    weights: TensorQuant
    bias: TensorQuant

    @classmethod
    def of(cls, layer: Layer, scheme: QuantScheme, name: str = "") -> LayerForm:
        kind = LAYERS[type(layer)]
        options = {
            key: getattr(layer, key)
            for key in ("stride", "padding", "dilation", "groups", "output_padding")
            if hasattr(layer, key) and (key != "output_padding" or kind == "conv_transpose")
        }
        pad = layer.pad if isinstance(layer, PaddedConv2d) else (0, 0, 0, 0)
        return cls(kind, pad, options, scheme.weights_of(name), scheme.bias)


class QuantLayer(Scaled):
    """A convolution, transposed convolution or linear layer with integer weights and an int32 bias.

    `weight` and `bias` are float parameters that are rounded at every call (they can be trained), or after
    `freeze` the integer codes themselves, in buffers; a state_dict brings either form. The bias is in steps of the
    accumulator, scale of the input times scale of the weights, in simulation too: a float bias would be rounded
    behind our back by the runtime. Outside of training sums that could go beyond 2^24 are made, and given, in float64,
    which holds them exactly.
    """

    weight: Tensor
    bias: Tensor
    weight_scale: Tensor
    bias_scale: Tensor
    _target: tuple[Quantizer, ...] = ()
    _wide: bool | None = None

    def __init__(self, form: LayerForm, weight: Tensor, bias: Tensor, source: Quantizer) -> None:
        super().__init__()
        self.form = form
        self.numbers, self.bias_numbers = form.weights, form.bias
        self.kind, self.pad, self.options = form.kind, form.pad, dict(form.options)
        self._source = (source,)  # in a tuple: it is a module of the graph already
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = nn.Parameter(bias.detach().clone())
        # transposed: the output channels are not the first axis, and grouped ones are on no single axis
        per_channel = self.numbers.granularity == "channel" and self.kind != "conv_transpose"
        self.register_buffer("weight_scale", torch.zeros(len(bias) if per_channel else ()))

    @classmethod
    def of(cls, layer: Layer, scheme: QuantScheme, source: Quantizer, name: str = "") -> QuantLayer:
        """The quantized form of the layer of that name, whose scale is still to be set."""
        outputs = layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels
        bias = layer.weight.new_zeros(outputs) if layer.bias is None else layer.bias
        weight = clipped(layer.weight) if scheme.weight_clip else layer.weight
        return cls(LayerForm.of(layer, scheme, name), weight, bias, source)

    def scales(self) -> Tensor:
        return self.weight_scale

    @property
    def source(self) -> Quantizer:
        """The quantizer of this layer's input."""
        return self._source[0]

    @property
    def target(self) -> Quantizer | None:
        """The quantizer of the output, known where computed values are rounded twice: the first time is the layer's."""
        return self._target[0] if self._target else None

    def round_twice(self, target: Quantizer) -> None:
        """Round the output as a fixed-point multiplication does before `target` rounds it again."""
        self._target = (target,)

    @property
    def frozen(self) -> bool:
        return not self.weight.is_floating_point()

    def set_weight_scale(self, scale: Tensor) -> None:
        self.weight_scale.copy_(scale)
        self._wide = None

    def train(self, mode: bool = True) -> QuantLayer:
        self._wide = None
        return super().train(mode)

    @property
    def wide(self) -> bool:
        """Whether some input could make a sum that float32 does not hold exactly."""
        if self._wide is None:
            self._wide = self.ready and self.source.ready and self.accumulator_bound() >= EXACT
        return self._wide

    def accumulator_scale(self) -> Tensor:
        return self.source.scale * self.weight_scale

    def spread(self, scale: Tensor) -> Tensor:
        """A scale of the weights in a shape that broadcasts against them."""
        return scale.reshape(-1, *[1] * (self.weight.ndim - 1)) if scale.ndim else scale

    def parameters_on_grid(self) -> tuple[Tensor, Tensor]:
        """Weight and bias as the device has them, in float; as they are while a range is missing."""
        if self.frozen:
            return dequantize(self.weight, self.weight_scale), dequantize(self.bias, self.bias_scale)
        if not (self.ready and self.source.ready):
            return self.weight, self.bias
        w, b = self.numbers, self.bias_numbers
        return (
            fake_quantize(self.weight, self.spread(self.weight_scale), w.low, w.high),
            # in double: a bias may have more steps than float32 tells apart
            fake_quantize(self.bias.double(), self.accumulator_scale().detach().double(), b.low, b.high).to(
                self.bias
            ),
        )

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.parameters_on_grid()
        if torch.compiler.is_exporting():  # files say what is computed, and runtimes how
            return self._compute(x, weight, bias)
        if self.training or not self.wide:
            y = self._compute(x, weight, bias)
        else:
            y = self._compute(x.double(), weight.double(), bias.double())
        if self.target is not None and self.target.ready:
            y = self._rounded_once(y, self.target.scale)
        return y

    def _rounded_once(self, y: Tensor, scale: Tensor) -> Tensor:
        """The output after the first of two roundings, as numbers; straight-through in training."""
        step = self._along_channels(self.accumulator_scale(), y).double()
        with torch.no_grad():
            product, right = first_rounding(torch.round(y / step).long(), step / scale)
            rounded_once = torch.ldexp(product.double(), -right) * scale
        return y + (rounded_once - y).detach() if y.requires_grad else rounded_once

    def _along_channels(self, scale: Tensor, y: Tensor) -> Tensor:
        """A scale for each output channel in a shape that broadcasts against the output."""
        return scale.reshape(-1, *[1] * (y.ndim - 2)) if scale.ndim and self.kind != "linear" else scale

    def magnitudes(self, x: Tensor) -> Tensor:
        """The sums of the magnitudes of products and bias, in steps of the accumulator."""
        weight, bias = (one.abs() for one in self.parameters_on_grid())
        sums = self._compute(x.abs().double(), weight.double(), bias.double())
        return sums / self._along_channels(self.accumulator_scale(), sums)

    def _compute(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
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
            bias = steps(self.bias.double(), self.accumulator_scale().double(), b.low, b.high).to(torch.int32)
        return weight, bias

    def freeze(self) -> None:
        """Replace the float parameters by their integer codes, which cannot be trained."""
        if not self.frozen:
            self._become_integers(*self.codes(), self.accumulator_scale())

    def _become_integers(self, weight: Tensor, bias: Tensor, bias_scale: Tensor) -> None:
        del self.weight, self.bias
        for name, buffer in (("weight", weight), ("bias", bias), ("bias_scale", bias_scale)):
            self.register_buffer(name, buffer)

    def _become_float(self) -> None:
        weight, bias = self.weight.float(), self.bias.float()
        del self.weight, self.bias, self.bias_scale
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        self._wide = None
        theirs = state_dict.get(f"{prefix}weight", self.weight)
        if theirs.is_floating_point() and self.frozen:
            self._become_float()
        elif not theirs.is_floating_point() and not self.frozen:
            weight, bias = (
                p.detach().to(t) for p, t in ((self.weight, torch.int8), (self.bias, torch.int32))
            )
            self._become_integers(weight, bias, torch.zeros_like(self.weight_scale))
        super()._load_from_state_dict(state_dict, prefix, *args)

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
