"""Post-training quantization: ranges from a few hundred training images, no labels."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import fx

from xvision.config.ordered import OrderedParts, ordered_parts_of
from xvision.quant.context import Context
from xvision.quant.ladder import Ladder
from xvision.quant.methods import method
from xvision.quant.rungs import Rungs, rung


@method
def ptq(
    context: Context,
    *,
    num_images: Annotated[int, Field(ge=1)] = 256,
    rungs: Rungs = "mse,weights",
) -> fx.GraphModule:
    """Post-training quantization: ranges of least squared error, then layers fitted to their float outputs.

    `rungs` are done one after the other (`xvision list rung`), with the ranges of `mse` where none finds some. Each is
    judged on images that nothing was fitted to, and is undone if the outputs together are no nearer to the float ones
    with it, or one of them is farther. Several processes do the same each.
    """
    ladder = Ladder(context, num_images)
    for part in in_order(rungs):
        ladder.climb(part)
    return ladder.graph


def in_order(rungs: OrderedParts | str) -> OrderedParts:
    """Rungs that may be given as text, where the builder is called by itself."""
    return ordered_parts_of(rung).parse(rungs)
