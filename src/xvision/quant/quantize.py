"""From a float network to one whose every number has an integer code."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator

from torch import Tensor, fx, nn

from xvision.config.parts import Part, part_of
from xvision.quant import methods, schemes
from xvision.quant.context import Context


def quantize(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, ...] | Tensor],
    *,
    scheme: Part | str = "pow2",
    method: Part | str = "ptq",
) -> nn.Module:
    """A copy of a network that simulates integer arithmetic to the last bit; takes what the network takes.

    `scheme` and `method` are parts or their names. `batches` are training images, a tensor or a tuple of planes each,
    on the device of the model. Networks that are not ours may take float tensors: their input gets a range of its own.
    The result returns a dict of named outputs; those of a network that returns a tensor, tuple or list are called
    out0, out1, …

    Warns about operators that no rule covers: they compute in float between two integer tensors.

    Raises: ValueError if the network cannot be captured, there is no batch, or the method needs labels.
    """
    scheme, method = part_of(schemes.scheme).parse(scheme), part_of(methods.method).parse(method)
    return quantize_with(Context(model, scheme.build(), lambda: _planes(batches)), method)


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
    return quantized.eval()


def _planes(batches: Iterable[tuple[Tensor, ...] | Tensor]) -> Iterator[tuple[Tensor, ...]]:
    for batch in batches:
        yield (batch,) if isinstance(batch, Tensor) else tuple(batch)
