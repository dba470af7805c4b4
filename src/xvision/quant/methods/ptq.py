"""Post-training quantization: ranges from a few hundred training images, no labels, no gradients."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor, fx

from xvision.quant.context import Context
from xvision.quant.fake import QuantLayer
from xvision.quant.insert import prepare
from xvision.quant.layerwise import batches_that_fit, layerwise
from xvision.quant.methods import method
from xvision.quant.observer import observe, set_weight_scale
from xvision.quant.reconstruct import correct_bias, reconstruct


@method
def ptq(
    context: Context,
    *,
    num_images: Annotated[int, Field(ge=1)] = 256,
    correct: Literal["nothing", "bias", "weights"] = "weights",
) -> fx.GraphModule:
    """Post-training quantization: ranges of least squared error, then layers fitted to their float outputs.

    `correct` says what is fitted, layer by layer: nothing, the biases, or weights and biases. Several processes do
    the same each.
    """
    images = take(context.calibration(), num_images)
    graph = prepare(context.network, images[0], context.scheme)
    reference = copy.deepcopy(graph)  # computes in float: its ranges stay open
    for quantizer, observer in observe(graph, images).items():
        quantizer.set_range(*observer.best_scale(quantizer.numbers))
    for layer in graph.modules():
        if isinstance(layer, QuantLayer):
            set_weight_scale(layer)
    if correct != "nothing":
        fit = reconstruct if correct == "weights" else correct_bias
        layerwise(graph, reference, batches_that_fit(graph, images), fit)
    return graph


def take(batches: Iterable[tuple[Tensor, ...]], num_images: int) -> list[tuple[Tensor, ...]]:
    """The first batches, until `num_images` are together; the last is cut."""
    taken: list[tuple[Tensor, ...]] = []
    for planes in batches:
        left = num_images - sum(len(t[0]) for t in taken)
        if left <= 0:
            break
        taken.append(tuple(plane[:left] for plane in planes))
    if not taken:
        raise ValueError("calibration: expected at least one batch of images, got none; check the data")
    return taken
