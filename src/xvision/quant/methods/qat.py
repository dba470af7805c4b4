"""Quantization-aware training: weights, biases and ranges are trained on through the rounding that the device does.

Recipe after Jain et al., "Trained Quantization Thresholds" (MLSys 2020), section 5, and what has been found since:
start from the ranges and corrections of post-training quantization, learn from the float network's outputs rather than
from labels alone, let thresholds settle early, use the moving average of the weights.
"""

from __future__ import annotations

import copy
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import fx, nn

from xvision.config.parts import Part, part_of
from xvision.quant.aware import QuantizationAware, inputs_of, train_aware
from xvision.quant.context import Context
from xvision.quant.learned import Thresholds
from xvision.quant.methods import method
from xvision.tasks.contract import Task
from xvision.train import balancing, optimizers, schedules
from xvision.train.distillation import Distilled
from xvision.train.settings import Train

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]


@method
def qat(
    context: Context,
    *,
    epochs: Annotated[int, Field(ge=1)] = 3,
    max_steps: Annotated[int, Field(ge=0)] = 0,
    batch_size: Annotated[int, Field(ge=0)] = 0,
    lr: Rate = 1e-4,
    threshold_lr: Rate = 0.01,
    weight_decay: Annotated[float, Field(ge=0)] = 0.0,
    thresholds: Thresholds = "learned",
    freeze_after: Share = 0.3,
    distill: Share = 0.9,
    temperature: Rate = 1.0,
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.999,
    damping: Share = 0.0,
    norm_momentum: Share = 0.0,
    start: Annotated[Part | str, part_of(method)] = "ptq",
) -> fx.GraphModule:
    """Quantization-aware training: the network of another method, trained on through its rounding.

    `epochs` over the training images, or `max_steps` if that is less, in batches of `batch_size` (0: those of the
    training). `thresholds`: ranges are learned by their gradients (TQT, LSQ), follow statistics (PACT2) or stay fixed;
    after a share `freeze_after` of the steps powers of two and statistics stay. `distill` is the share of the loss
    that comes from the float network's outputs, at a `temperature` for class scores; with 1 labels are not used. `ema`
    is the decay of the moving average of weights and ranges that is validated and kept (0: none), `damping` draws
    weights of 4 bits or fewer to their codes. Batch norms are folded into the weights; with a `norm_momentum` each step
    corrects gain and bias of a channel as one that updates its statistics would (0: none). `start` is the method whose
    network is trained, where none is given.

    AdamW at rates of `lr` for weights and biases and `threshold_lr` for the logarithms of ranges, which fall along
    half a cosine; weight decay on weights alone. All else is as the network was trained: `train.accumulate`,
    `train.compile`, `train.clip_norm`, threads and workers.
    """
    task, *loaders = context.labelled(batch_size)
    given = context.train or Train()
    settings = _adapted(
        given,
        task,
        epochs=epochs,
        max_steps=max_steps,
        batch_size=batch_size or given.batch_size,
        optimizer=optimizers.optimizer.adamw(lr=lr, weight_decay=weight_decay),
        ema=ema,
    )
    given_graph = context.quantized
    graph = part_of(method).parse(start).build(context) if given_graph is None else copy.deepcopy(given_graph)
    beside_settings = (threshold_lr, thresholds, freeze_after, distill, temperature, damping, norm_momentum)
    return train_aware(
        context,
        graph,
        settings,
        QuantizationAware(threshold_lr / lr, freeze_after, damping, norm_momentum),
        task=_distilled(context, task, settings, distill, temperature),
        loaders=(loaders[0], loaders[1]),
        thresholds=thresholds,
        identity=repr((context.scheme, start if given_graph is None else "given", *beside_settings)),
    )


def _adapted(given: Train, task: Task, **own: Any) -> Train:
    """The settings of the float training, for one that is short, begins at its end and counts in integers."""
    fixed = {
        "minutes": 0.0,
        "schedule": schedules.schedule.cosine(),
        "balancing": _balancing(given, task),
        "start_size_ratio": 1.0,
        "freeze_batch_norm": False,
        "warmup_epochs": 0.0,
        "decay": "weights",
        "precision": "fp32",  # the simulation is exact in 32 bits alone
    }
    return given.model_copy(update=fixed | own)


def _balancing(given: Train, task: Task) -> Part:
    """As the network was trained; methods that look at gradients inside a float network give way to constants."""
    names = [part.name for part in task.parts]
    return given.balancing if given.balancing.build(names).scope == "none" else balancing.balancing.fixed()


def _distilled(context: Context, task: Task, settings: Train, share: float, temperature: float) -> Task:
    """The task, with the float network as its teacher."""
    if share == 0:
        return task
    teacher: nn.Module = copy.deepcopy(context.network)
    if settings.channels_last:
        teacher.to(memory_format=torch.channels_last)
    if settings.compile:
        teacher.compile()
    return Distilled(task, teacher, inputs_of(context), share, temperature)
