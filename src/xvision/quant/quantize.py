"""From a float network to one whose every number has an integer code."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch
from torch import fx, nn

from xvision.config.parts import Part, part_of
from xvision.graph.planes import Batch, peeked, plane_names, planes_of
from xvision.graph.shapes import in_eval_mode
from xvision.models.wrap import fitting
from xvision.quant import methods, schemes
from xvision.quant.accumulator import check_accumulators, sums_beyond_float32
from xvision.quant.calibration import Batches, held_back, replayed, take
from xvision.quant.calibration_images import doubts
from xvision.quant.collapse import class_outputs, collapsed, predictions
from xvision.quant.context import Context
from xvision.quant.islands import listed
from xvision.quant.numbers import LEAST_DB, QuantScheme
from xvision.quant.quality import Quality

SOME = 8
"""Operators that a warning names."""
DEFAULT_IMAGES = 256
"""Looked at where a method does not say how many it has used."""


def quantize(
    model: nn.Module,
    batches: Batch | Iterable[Batch],
    *,
    scheme: Part | str | QuantScheme = "pow2",
    method: Part | str = "ptq",
) -> nn.Module:
    """A copy of a network that simulates integer arithmetic to the last bit; takes what the network takes.

    `scheme` and `method` are parts or their names; a scheme may be one of your own. `batches` are training images on
    the device of the model, each a tensor, a tuple of planes (labels after them are left out) or a dict by the names of
    the network's arguments. Networks that are not ours are given uint8 pixels as `xv.wrap` says; or batches of the
    floats that they take, whose range is found too. The result returns a dict of named outputs; those of a network that
    returns a tensor, tuple or list are called out0, out1, …

    Warns about operators that no rule covers, which compute in float between two integer tensors, and about sums that
    float32 does not hold exactly.

    Raises: ValueError if the network cannot be captured, there is no batch, or the method needs labels.
    """
    method = part_of(methods.method).parse(method)
    numbers = scheme if isinstance(scheme, QuantScheme) else part_of(schemes.scheme).parse(scheme).build()
    _check_network(model)
    if not isinstance(batches, Iterable):
        raise ValueError(
            f"quantize: expected batches of images, got {type(batches).__name__}; give a list of tensors"
        )
    first, batches = peeked(batches)
    network = fitting(model, first)
    who, names = type(model).__name__, plane_names(network)
    return quantize_with(Context(network, numbers, lambda: planes_of(who, names, batches)), method)


def _check_network(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise ValueError(
            f"quantize: expected a network (torch.nn.Module), got {type(model).__name__}; give an instance of one"
        )
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError(
            f"{type(model).__name__}: expected a network in Python, got a scripted or traced one; give the nn.Module "
            "that it was made of"
        )
    if isinstance(model, fx.GraphModule) and "scheme" in model.meta:
        raise ValueError(f"{type(model).__name__}: is quantized already; quantize the float network")


def quantize_with(context: Context, method: Part) -> fx.GraphModule:
    """What a method makes of a context, in evaluation mode; warns as `quantize` does.

    What is wrong with the calibration images, and with the classes that are found, is kept in `meta["warnings"]`.
    """
    context = replace(context, calibration=replayed(context.calibration))
    quantized: fx.GraphModule = method.build(context).eval()
    check_accumulators(quantized)
    kept = {"images": [*_doubts(quantized, context)], "classes": [*_collapse(quantized, context)]}
    quantized.meta["warnings"] = kept
    for line in (
        *kept["images"],
        *kept["classes"],
        *_islands(quantized),
        *_sums(quantized, context),
        *_noise(quantized),
    ):
        warnings.warn(f"{type(context.network).__name__}: {line}", stacklevel=3)
    return quantized


def _doubts(quantized: fx.GraphModule, context: Context) -> Iterator[str]:
    outputs = class_outputs(context.network)
    with in_eval_mode(context.network):
        yield from doubts(
            _images(quantized, context), lambda some: predictions(context.network, some, outputs)
        )


def _collapse(quantized: fx.GraphModule, context: Context) -> Iterator[str]:
    outputs = class_outputs(context.network)
    if not outputs:
        return
    _, judged = held_back(_images(quantized, context))
    with in_eval_mode(context.network):
        before = predictions(context.network, judged, outputs)
    classes = context.task.classes if context.task else {}
    names = {name: classes.get(label, ()) for name, label in outputs.items()}
    yield from collapsed(before, predictions(quantized, judged, outputs), names)


def _images(quantized: fx.GraphModule, context: Context) -> Batches:
    """The calibration images that the method has used, as far as it says how many."""
    quality: Quality | None = quantized.meta.get("quality")
    return take(context.calibration(), quality.num_fitted + quality.num_judged if quality else DEFAULT_IMAGES)


def _islands(quantized: fx.GraphModule) -> Iterator[str]:
    if unknown := quantized.meta["float_operators"]:
        names = ", ".join(one.name for one in unknown[:SOME]) + (", …" if len(unknown) > SOME else "")
        yield (
            f"{len(unknown)} operators without a rule compute in float between integers: {listed(unknown)} ({names})"
        )


def _sums(quantized: fx.GraphModule, context: Context) -> Iterator[str]:
    too_large = sums_beyond_float32(quantized, context.calibration)
    if too_large:
        name, largest = max(too_large.items(), key=lambda item: item[1])
        yield (
            f"sums of {len(too_large)} layers go beyond 2^24, where float32 is not exact (most at {name}: "
            f"2^{math.log2(largest):.1f}): the simulation and runtimes that sum in float32 may differ by an LSB there; "
            "make the layer narrower, or split it"
        )


def _noise(quantized: fx.GraphModule) -> Iterator[str]:
    quality: Quality | None = quantized.meta.get("quality")
    if quality is not None and quality.poor:
        poor = ", ".join(f"'{name}' {db:.1f} dB" for name, db in quality.poor.items())
        weakest = f"; most of it in {quality.weakest}" if quality.layers else ""
        yield (
            f"outputs with less than {LEAST_DB:g} dB of signal over quantization noise: {poor}{weakest}; give more "
            "calibration images, or more bits"
        )
