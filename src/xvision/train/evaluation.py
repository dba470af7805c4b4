"""How good a model is on a split: every sample counts once, whatever the number of processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from xvision.console import Console
from xvision.models.inputs import Inputs
from xvision.train.forward import explaining_memory, forward, to_device
from xvision.train.processes import Processes

if TYPE_CHECKING:
    from xvision.data.loader import Loader
    from xvision.tasks.contract import Task
    from xvision.tasks.metrics.contract import TaskMetric


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a model on a split, and the confusion matrix of each label that is classes."""

    metrics: dict[str, float]
    confusions: dict[str, list[list[int]]]


def evaluate(
    model: Callable[..., Mapping[str, Tensor]],
    task: Task,
    loader: Loader,
    *,
    device: torch.device | None = None,
    console: Console | None = None,
    inputs: Inputs | None = None,
    processes: Processes = Processes(),
) -> Evaluation:
    """The task's metrics of `model` on the loader's split.

    `model` is any callable from planes to named outputs: a module (put into eval mode meanwhile), a quantized
    one, an executor of an exported file. `inputs` is what it takes, by default what its own `inputs` says; `device` is
    by default where its parameters are, or what its own `device` says. Each of several `processes` has a loader of its
    share, and gets the metrics of all.
    """
    device = device or _device(model)
    inputs = inputs or model.inputs  # type: ignore[attr-defined]
    metric = metric_over(task, processes).to(device)
    training = isinstance(model, nn.Module) and model.training
    if isinstance(model, nn.Module):
        model.eval()
    try:
        with (
            torch.inference_mode(),
            (console or Console(quiet=True)).progress("validation", len(loader)) as bar,
        ):
            for batch in loader.epoch(0):
                batch = to_device(batch, device)
                with explaining_memory(batch):
                    metric.update(forward(model, batch, inputs), batch)
                bar.advance(1)
            return Evaluation(defined(metric.compute(), task.primary), metric.confusions())
    finally:
        if isinstance(model, nn.Module):
            model.train(training)


def metric_over(task: Task, processes: Processes = Processes()) -> TaskMetric:
    """The task's metric, which counts what `processes` see; one that is alone counts alone, within a group too."""
    metric = task.metric()
    for counts in metric.modules():
        if isinstance(counts, Metric):  # torchmetrics would wait for the group by itself
            counts.distributed_available_fn = lambda: processes.world > 1
    return metric


def defined(metrics: dict[str, float], primary: str) -> dict[str, float]:
    """Metrics without those that nothing was counted for, such as the IoU of a class that does not occur."""
    return {name: value for name, value in metrics.items() if name == primary or not math.isnan(value)}


def _device(model: object) -> torch.device:
    if not isinstance(model, nn.Module):
        return getattr(model, "device", torch.device("cpu"))
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device
