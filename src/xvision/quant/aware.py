"""Quantization-aware training: the training loop on a quantized network, whose numbers are integers from the start.

There is no batch norm in it: that of the trained network is folded, so that what is trained is what is deployed.
"""

from __future__ import annotations

import math
import tempfile
import time
import warnings
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import fx, nn

from xvision.models.inputs import Inputs
from xvision.quant.calibration import held_back, take
from xvision.quant.context import Context
from xvision.quant.fake import QuantLayer
from xvision.quant.learned import (
    REACH,
    WINDOW,
    LearnedScale,
    StepSize,
    Threshold,
    Thresholds,
    exponents,
    find_ranges,
    found,
    keep_ranges,
    ranges,
)
from xvision.quant.norms import correct_norms, hold_norms, release_norms
from xvision.quant.quality import Quality, RungQuality, heads_db
from xvision.tasks.contract import Task
from xvision.train.loop import train
from xvision.train.optimizers import parameter_groups
from xvision.train.places import Places
from xvision.train.regime import Regime
from xvision.train.settings import Train

if TYPE_CHECKING:
    from xvision.data.loader import Loader

FREE = 0.1
"""The rate of free scales beside that of thresholds, which act when they cross an integer alone."""
FEW_BITS = 4
"""Weights of more bits hardly oscillate: their steps are small beside what a gradient moves."""
WIDE_BIAS = 32
JUDGED_ON = 256
"""Calibration images, a part of which the result is compared with the float network on."""


class QuantizationAware(Regime):
    """Ranges at a rate of their own, which stay from some step on; weights drawn to their codes, if asked.

    Exponents jump back and forth between two values while their thresholds are at an integer, and the weights cannot
    settle. So after a share `freeze_after` of the steps all of them take the one that they had most of the time, at
    once: one decision that follows from the step, where Jain et al. (2020, section 5.2) freeze one threshold after the
    other by its gradient, over thousands of steps.

    `threshold_rate` is relative to the learning rate. `damping` is the share by which each step draws weights of few
    bits to what they are rounded to, growing along half a cosine, apart from the gradient, as AdamW decays weights; it
    is against codes that oscillate: Nagel et al., "Overcoming Oscillations" (ICML 2022), section 4.1. `norm_momentum`:
    that of the batch norms that were folded, see `xvision.quant.norms`.
    """

    def __init__(
        self, threshold_rate: float, freeze_after: float, damping: float = 0.0, norm_momentum: float = 0.0
    ) -> None:
        self.threshold_rate, self.freeze_after = threshold_rate, freeze_after
        self.damping, self.norm_momentum = damping, norm_momentum

    def groups(self, model: nn.Module, settings: Train) -> list[dict[str, Any]]:
        """Weights, biases, thresholds and free scales."""
        learned = {
            kind: [t for one, t in ranges(model) if isinstance(one, kind)] for kind in (Threshold, StepSize)
        }
        apart = {id(tensor) for of_kind in learned.values() for tensor in of_kind}
        groups = parameter_groups((p for p in model.parameters() if id(p) not in apart), settings.decay)
        for kind, of_kind in learned.items():
            if of_kind:
                groups.append({"params": of_kind, "weight_decay": 0.0, "ranges": kind})
        return groups

    def rate(self, group: dict[str, Any], progress: float) -> float:
        kind = group.get("ranges")
        if kind is None:
            return 1.0
        if kind is Threshold:
            return 0.0 if progress >= self.freeze_after else self.threshold_rate
        return FREE * self.threshold_rate

    @torch.no_grad()
    def before_step(self, model: nn.Module, step: int, num_steps: int) -> None:
        frozen = step / num_steps >= self.freeze_after
        just_now = frozen and (step == 0 or (step - 1) / num_steps < self.freeze_after)
        learned: list[tuple[LearnedScale, torch.Tensor]] = []
        for one, tensor in ranges(model):
            if isinstance(one, LearnedScale):
                learned.append((one, tensor))
            else:
                one.watching = not frozen
        if learned:
            _follow(learned, max(1.0, min(WINDOW, self.freeze_after * num_steps / 2)))
        for one, tensor in learned if just_now else ():
            if isinstance(one, Threshold):
                tensor.copy_(one.usual.round() - 0.5)
        _make_room_for_biases(model)
        if self.norm_momentum:
            correct_norms(model, self.norm_momentum)
        if self.damping:
            _draw_to_codes(model, self.damping * (1 - math.cos(math.pi * step / num_steps)) / 2)


def _follow(learned: list[tuple[LearnedScale, torch.Tensor]], window: float) -> None:
    """Keep the ranges within reach of their start, and average their exponents over some steps."""
    tensors, starts = [tensor for _, tensor in learned], [one.start for one, _ in learned]
    torch._foreach_maximum_(tensors, torch._foreach_sub(starts, REACH))
    torch._foreach_minimum_(tensors, torch._foreach_add(starts, REACH))
    torch._foreach_lerp_([one.usual for one, _ in learned], torch._foreach_ceil(tensors), 1 / window)


def _make_room_for_biases(model: nn.Module) -> None:
    """Keep learned scales of weights so large that a bias of few bits fits into the accumulator's steps."""
    for layer in model.modules():
        if isinstance(layer, QuantLayer) and layer.bias_numbers.bits < WIDE_BIAS:
            made, tensor = found(layer, "weight_scale")
            if isinstance(made, LearnedScale):
                largest = layer.bias.abs() if tensor.ndim else layer.bias.abs().amax()
                least = largest / layer.bias_numbers.high / layer.source.scale
                tensor.copy_(torch.maximum(tensor, least.log2()))


def _draw_to_codes(model: nn.Module, share: float) -> None:
    for layer in model.modules():
        if isinstance(layer, QuantLayer) and layer.numbers.bits <= FEW_BITS:
            layer.weight.lerp_(layer.parameters_on_grid()[0], share)


def train_aware(
    context: Context,
    graph: fx.GraphModule,
    settings: Train,
    regime: QuantizationAware,
    *,
    task: Task,
    loaders: tuple[Loader, Loader],
    thresholds: Thresholds,
    identity: str,
) -> fx.GraphModule:
    """Train a quantized network, whose scales `thresholds` says how to find; an ordinary quantized one comes back.

    `task` is what it learns, that of the context or one with a teacher, from `loaders` of training and validation;
    `identity` says what else decides the result.
    """
    warn_of_untrained(context.network)
    began = time.perf_counter()
    device = next(graph.parameters()).device
    before = exponents(graph)
    find_ranges(graph, thresholds)
    if regime.norm_momentum:
        hold_norms(graph, take(context.calibration(), JUDGED_ON))
    with ExitStack() as stack:
        folder = context.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        train(
            graph,
            task,
            *loaders,
            settings,
            Places.inside(folder),
            seed=context.seed,
            console=context.console,
            identity=identity,
            processes=context.processes,
            inputs=inputs_of(context),
            regime=regime,
        )
    release_norms(graph)
    keep_ranges(graph)
    graph.to(device).eval()
    graph.meta["threshold_shifts"] = {name: now - before[name] for name, now in exponents(graph).items()}
    _judge(graph, context, time.perf_counter() - began)
    return graph


def inputs_of(context: Context) -> Inputs:
    """What the network of a context takes."""
    found: Any = context.network.inputs
    assert isinstance(found, Inputs)
    return found


def _judge(graph: fx.GraphModule, context: Context, seconds: float) -> None:
    """Say how near the outputs are to the float ones now, and how long that took."""
    if "quality" in graph.meta:
        _, judged = held_back(take(context.calibration(), JUDGED_ON))
        with torch.no_grad():
            after = heads_db(graph, (context.network(*planes) for planes in judged), judged)
        quality: Quality = graph.meta["quality"]
        done = RungQuality("qat", True, after, round(seconds, 2))
        graph.meta["quality"] = replace(quality, rungs=(*quality.rungs, done), layers={})


def warn_of_untrained(network: nn.Module) -> None:
    """Warn of batch norms that have not seen an image: folded into the weights, they stay as they are."""
    norms = {k: m for k, m in network.named_modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)}
    unseen = [
        name
        for name, norm in norms.items()
        if norm.running_mean is not None
        and norm.running_var is not None
        and not bool(norm.running_mean.any())
        and bool((norm.running_var == 1).all())
    ]
    if unseen:
        warnings.warn(
            f"{type(network).__name__}: expected a trained network, got {len(unseen)} batch norms that have seen no "
            f"image (first: {unseen[0]}); train it in float first, for quantization folds them into the weights",
            stacklevel=4,
        )
