"""Ranges that training finds: each scale of a quantized network becomes a function of what is learned or seen.

Three ways, each a parametrization of a scale (`torch.nn.utils.parametrize`), so that quantizers and layers compute with
it as they do with a stored one and all state is in parameters and buffers:

1. `Threshold`, TQT: a power of two, 2 to the ceiling of log2 of a learned threshold. Jain et al., "Trained
   Quantization Thresholds" (MLSys 2020), section 3;
2. `StepSize`, LSQ: any number, learned by its logarithm, so that it stays positive and one learning rate fits all.
   Esser et al., "Learned Step Size Quantization" (ICLR 2020), section 2.1; their factor 1 / sqrt(N high) is left out,
   which Adam would divide away;
3. `Statistics`, PACT2: a running average of what the tensor holds, as TI's edgeai-xvision trains.

Zero points stay: after ReLU, where most tensors are, they are the lowest code, and a learned one moves by whole codes,
the grid of a tensor with them (LSQ+ learns them for 4 bits and fewer).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.observer import power_of_two_above

Thresholds = Literal["learned", "statistics", "fixed"]
REACH = 2.0
"""Octaves that a range may move: that of a channel that does nothing would run away, and its bias with it."""
WINDOW = 50
"""Steps over which exponents are averaged, fewer in a short training; the usual one is that average, rounded."""
BINS = 255
OUTSIDE = 1e-4
"""Share of a tensor's values beyond its range, at each end."""
LEAST_CLIP = 2.0**-16


class PowerOfTwo(torch.autograd.Function):
    """2 to the ceiling of x; the ceiling passes the gradient: Jain et al. 2020, eq. 6."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        # the bits of a float32: exact on every device, which pow and exp2 are not
        value = (x.ceil().to(torch.int32) + 127).bitwise_left_shift(23).view(torch.float32)
        ctx.save_for_backward(value)
        return value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        value: Tensor = ctx.saved_tensors[0]
        return grads[0] * value * math.log(2)


class LearnedScale(nn.Module, ABC):
    """A learned scale, as a function of its logarithm."""

    start: Tensor
    usual: Tensor

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        start = self.right_inverse(scale)
        self.register_buffer("start", start)
        self.register_buffer("usual", start.ceil())

    @abstractmethod
    def right_inverse(self, scale: Tensor) -> Tensor:
        """What a scale is the function of."""


class StepSize(LearnedScale):
    """A scale of any size."""

    def forward(self, log2_scale: Tensor) -> Tensor:
        return torch.exp2(log2_scale)

    def right_inverse(self, scale: Tensor) -> Tensor:
        return scale.log2()


class Threshold(LearnedScale):
    """A power of two; it starts in the middle between two jumps."""

    def forward(self, log2_scale: Tensor) -> Tensor:
        scale: Tensor = PowerOfTwo.apply(log2_scale)
        return scale

    def right_inverse(self, scale: Tensor) -> Tensor:
        return torch.frexp(scale).exponent - 1.5  # scale = 2^(exponent - 1)


class Statistics(nn.Module):
    """A scale that follows the ends of a tensor, (2,) or for each channel (2, C); powers of two are rounded up."""

    count: Tensor
    watching = True

    def __init__(self, low: int, high: int, power_of_two: bool) -> None:
        super().__init__()
        # a power of two reaches to the step after the last one, as everywhere
        self.steps = (low or -math.inf, high + 1 if power_of_two else high)
        self.power_of_two = power_of_two
        self.register_buffer("count", torch.tensor(0))

    def forward(self, ends: Tensor) -> Tensor:
        low, high = self.steps
        scale = torch.maximum(ends[0] / low, ends[1] / high).clamp_min(LEAST_CLIP / high)
        return power_of_two_above(scale) if self.power_of_two else scale

    def right_inverse(self, scale: Tensor) -> Tensor:
        low, high = self.steps
        return torch.stack([scale * (low if math.isfinite(low) else 0), scale * high])

    def average(self, ends: Tensor, seen: Tensor) -> None:
        """The running average; its first two batches count alone, which is what the original does."""
        share = (1 / self.count.clamp_min(1)).clamp_min(1e-3)
        ends.lerp_(seen, share.to(ends.dtype))
        self.count += 1


# ------------------------------------------------------------------------------------------- of a whole network


def find_ranges(graph: fx.GraphModule, how: Thresholds) -> None:
    """Make the scales of a quantized network those that training finds, in place, but for those that are known."""
    if how == "fixed":
        return
    for module, name in list(_scales(graph)):
        scale = getattr(module, name)
        if how == "learned":
            power_of_two = module.numbers.power_of_two
            delattr(module, name)
            module.register_parameter(name, nn.Parameter(scale))
            made: nn.Module = (Threshold if power_of_two else StepSize)(scale)
        else:
            made = _statistics(module)
        parametrize.register_parametrization(module, name, made)


def keep_ranges(graph: fx.GraphModule) -> None:
    """The ordinary quantized network again, with the scales that were found, in place."""
    for module, name in list(_scales(graph)):
        made, _ = found(module, name)
        if made is None:
            continue
        if isinstance(made, Statistics):
            module._forward_pre_hooks.clear()
        scale = getattr(module, name).detach().clone()
        parametrize.remove_parametrizations(module, name, leave_parametrized=False)
        delattr(module, name)
        module.register_buffer(name, scale)


def exponents(graph: fx.GraphModule) -> dict[str, float]:
    """The binary logarithm of each scale that training finds, of several channels the mean."""
    paths = {module: path.removeprefix("quantizers.") for path, module in graph.named_modules()}
    with torch.no_grad():
        return {paths[m]: float(getattr(m, name).log2().mean()) for m, name in _scales(graph)}


def ranges(graph: nn.Module) -> Iterator[tuple[LearnedScale | Statistics, Tensor]]:
    """What finds each scale, and the tensor that it is a function of."""
    for module in graph.modules():
        if isinstance(module, parametrize.ParametrizationList):
            made = module[0]
            assert isinstance(made, LearnedScale | Statistics)
            yield made, module.original


def _scales(graph: fx.GraphModule) -> Iterator[tuple[Quantizer | QuantLayer, str]]:
    """The modules whose scales are not known beforehand, and the names of these."""
    known = graph.meta["known_ranges"]
    for path, module in graph.named_modules():
        if isinstance(module, QuantLayer):
            yield module, "weight_scale"
        elif isinstance(module, Quantizer) and path not in known:
            yield module, "scale"


def found(module: nn.Module, name: str) -> tuple[LearnedScale | Statistics | None, Tensor]:
    """What finds a scale of a module, if something does, and the tensor that it is a function of."""
    if not parametrize.is_parametrized(module, name):
        return None, getattr(module, name)
    of_module: Any = module.parametrizations
    return of_module[name][0], of_module[name].original


def _statistics(module: Quantizer | QuantLayer) -> Statistics:
    """The statistics of a module, which watch what it computes while it is trained."""
    numbers = module.numbers
    if isinstance(module, QuantLayer):
        module.register_forward_pre_hook(_watch_weights)
        return Statistics(numbers.low, numbers.high, numbers.power_of_two)
    module.register_forward_pre_hook(_watch_values)
    return Statistics(module.low, module.high, numbers.power_of_two)


def _watch_values(module: nn.Module, args: tuple[Tensor]) -> None:
    made, kept = found(module, "scale")
    if module.training and isinstance(made, Statistics) and made.watching:
        made.average(kept, ends(args[0].detach()))


def _watch_weights(module: nn.Module, args: tuple[Tensor]) -> None:
    assert isinstance(module, QuantLayer)
    made, kept = found(module, "weight_scale")
    if module.training and isinstance(made, Statistics) and made.watching:
        kept.copy_(torch.stack(module.weight.detach().reshape(*kept.shape[1:], -1).aminmax(dim=-1)))


def ends(x: Tensor) -> Tensor:
    """Where a tensor begins and ends but for a share of `OUTSIDE` at each side, by a histogram of `BINS` steps.

    Of maps (B, C, H, W) every fourth pixel is looked at.
    """
    if x.ndim == 4 and min(x.shape[2:]) > 4:
        x = x[:, :, ::2, ::2]
    low, high = x.aminmax()
    width = (high - low).clamp_min(1e-30) / BINS
    bins = ((x - low) / width).long().clamp_(0, BINS).flatten()
    counts = torch.zeros(BINS + 1, device=x.device).scatter_add_(
        0, bins, torch.ones_like(bins, dtype=x.dtype)
    )
    below, above = (one.cumsum(0) < OUTSIDE * bins.numel() for one in (counts, counts.flip(0)))
    return torch.stack([low + below.sum() * width, high - above.sum() * width])
