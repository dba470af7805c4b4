"""From a float network to one whose every number has an integer code."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable

from torch import fx, nn

from xvision.config.parts import Part, part_of
from xvision.graph.planes import Batch, plane_names, planes_of
from xvision.quant import methods, schemes
from xvision.quant.accumulator import sums_beyond_float32
from xvision.quant.context import Context


def quantize(
    model: nn.Module,
    batches: Batch | Iterable[Batch],
    *,
    scheme: Part | str = "pow2",
    method: Part | str = "ptq",
) -> nn.Module:
    """A copy of a network that simulates integer arithmetic to the last bit; takes what the network takes.

    `scheme` and `method` are parts or their names. `batches` are training images on the device of the model, each a
    tensor, a tuple of planes (labels after them are left out) or a dict by the names of the network's arguments.
    Networks that are not ours may take float tensors: their input gets a range of its own. The result returns a dict
    of named outputs; those of a network that returns a tensor, tuple or list are called out0, out1, …

    Warns about operators that no rule covers, which compute in float between two integer tensors, and about sums that
    float32 does not hold exactly.

    Raises: ValueError if the network cannot be captured, there is no batch, or the method needs labels.
    """
    scheme, method = part_of(schemes.scheme).parse(scheme), part_of(methods.method).parse(method)
    who, names = type(model).__name__, plane_names(model)
    return quantize_with(Context(model, scheme.build(), lambda: planes_of(who, names, batches)), method)


def quantize_with(context: Context, method: Part) -> fx.GraphModule:
    """What a method makes of a context, in evaluation mode; warns as `quantize` does."""
    quantized: fx.GraphModule = method.build(context)
    unknown = quantized.meta["float_operators"]
    if unknown:
        warnings.warn(
            f"{type(context.network).__name__}: {len(unknown)} operators without a rule compute in float between "
            f"integers: {', '.join(unknown)}",
            stacklevel=3,
        )
    too_large = sums_beyond_float32(quantized, next(iter(context.calibration())))
    if too_large:
        name, largest = max(too_large.items(), key=lambda item: item[1])
        warnings.warn(
            f"{type(context.network).__name__}: sums of {len(too_large)} layers go beyond 2^24, where float32 is not "
            f"exact (most at {name}: 2^{math.log2(largest):.1f}): the simulation and runtimes that sum in float32 may "
            "differ by an LSB there; make the layer narrower, or split it",
            stacklevel=3,
        )
    return quantized.eval()
