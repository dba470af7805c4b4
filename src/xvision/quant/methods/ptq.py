"""Post-training quantization: ranges from a few hundred training images, no labels, no gradients."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, fx

from xvision.quant.calibration import Batches, count, held_back, take
from xvision.quant.context import Context
from xvision.quant.correct import Pairs, allowed
from xvision.quant.correct import correct as correct_layer
from xvision.quant.fake import QuantLayer
from xvision.quant.insert import prepare
from xvision.quant.layerwise import batches_that_fit, layerwise
from xvision.quant.methods import method
from xvision.quant.observer import observe, set_weight_scale
from xvision.quant.quality import LayerQuality, Quality, heads_db

MAY_LOSE_DB = 0.5
"""What corrections may cost one output where they help the others more."""


@method
def ptq(
    context: Context,
    *,
    num_images: Annotated[int, Field(ge=1)] = 256,
    correct: Literal["nothing", "bias", "weights"] = "weights",
) -> fx.GraphModule:
    """Post-training quantization: ranges of least squared error, then layers fitted to their float outputs.

    `correct` says what may be fitted, layer by layer: nothing, the biases, or weights and biases. Ranges and
    corrections are judged on images that nothing was fitted to: in each layer the one of least error there is kept,
    and all are dropped if the outputs together are no nearer to the float ones with them, or one of them is farther.
    Several processes do the same each.
    """
    images = take(context.calibration(), num_images)
    graph = prepare(context.network, images[0], context.scheme, context.program)
    reference = copy.deepcopy(graph)  # computes in float: its ranges stay open
    fitted, judged = held_back(images)
    for quantizer, observer in observe(graph, images, judged).items():
        quantizer.set_range(*observer.best_scale(quantizer.numbers))
    for layer in graph.modules():
        if isinstance(layer, QuantLayer):
            set_weight_scale(layer)
    with torch.no_grad():
        wanted = [reference(*planes) for planes in judged]
    db = heads_db(graph, wanted, judged)
    quality = Quality(count(fitted), count(judged) if judged is not fitted else 0, db, db)
    if correct != "nothing":
        corrected = copy.deepcopy(graph)
        layers = _correct(corrected, reference, images, correct)
        after = heads_db(corrected, wanted, judged)
        if sum(after.values()) > sum(db.values()) and all(
            after[name] > db[name] - MAY_LOSE_DB for name in db
        ):
            graph, quality = corrected, replace(quality, heads_db=after, layers=layers)
        else:
            quality = replace(quality, dropped=True)
    graph.meta["quality"] = quality
    return graph


def _correct(
    graph: fx.GraphModule, reference: fx.GraphModule, images: Batches, strongest: str
) -> dict[str, LayerQuality]:
    """Correct layer by layer, each where the layers before it are as they will be."""
    names = {layer: name for name, layer in graph.named_modules() if isinstance(layer, QuantLayer)}
    fitted, judged = held_back(batches_that_fit(graph, images))
    apart = judged is not fitted
    found: dict[str, LayerQuality] = {}

    def visit(layer: QuantLayer, inputs: list[Tensor], targets: list[Tensor]) -> None:
        at = len(fitted)
        all_of_them = Pairs(inputs[:at], targets[:at])
        unseen = Pairs(inputs[at:], targets[at:]) if apart else all_of_them
        found[names[layer]] = correct_layer(layer, all_of_them, unseen, allowed(strongest))

    layerwise(graph, reference, [*fitted, *judged] if apart else fitted, visit)
    return found
