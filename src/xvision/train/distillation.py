"""Learning from a teacher: a task with one more term, the distance from the outputs of another network.

Source: Hinton et al., "Distilling the Knowledge in a Neural Network" (2015), section 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from xvision.data.dataset import Split
from xvision.data.framing import Inverse
from xvision.models.inputs import Inputs
from xvision.models.outputs import tensor_names
from xvision.tasks.contract import Task
from xvision.tasks.metrics.contract import Batch, Outputs, TaskMetric
from xvision.tasks.metrics.spec import MetricSpec
from xvision.tasks.view import Prediction
from xvision.train.forward import forward

TERM = "distillation"


class Distilled(Task):
    """A task whose every part has its own terms times 1 - `share`, and `share` times its distance from a teacher.

    The teacher is a network that takes `inputs`; it comes to the device of the batches, in eval mode. Its term needs no
    labels: a part that has none in a batch learns from it alone. With a share of 1 that is all there is to learn from.
    """

    def __init__(
        self,
        task: Task,
        teacher: nn.Module,
        inputs: Inputs,
        share: float,
        temperature: float = 1.0,
    ) -> None:
        assert 0 < share <= 1, share
        self.task, self.teacher, self.inputs = task, teacher.eval().requires_grad_(False), inputs
        self._device: torch.device | None = None
        self.share, self.temperature = share, temperature
        self.name, self.needs, self.outputs = task.name, task.needs, task.outputs
        self.classes, self.class_maps, self.view = task.classes, task.class_maps, task.view

    @property
    def parts(self) -> tuple[Task, ...]:
        return self.task.parts

    @property
    def terms(self) -> tuple[str, ...]:
        return (*self.task.terms, *(f"{part.name}/{TERM}" for part in self.parts))

    @property
    def metric_specs(self) -> tuple[MetricSpec, ...]:
        return self.task.metric_specs

    def advice(self, inputs: Sequence[str]) -> list[str]:
        return self.task.advice(inputs)

    def prepare(self, train: Split) -> str:
        return self.task.prepare(train)

    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        terms = self.losses(out, batch).items()
        return {f"{part}/{term}": value for part, own in terms for term, value in own.items()}

    def losses(self, out: Outputs, batch: Batch) -> dict[str, dict[str, Tensor]]:
        device = next(iter(out.values())).device
        if device != self._device:
            self.teacher.to(device)
            self._device = device
        with torch.no_grad():
            wanted = forward(self.teacher, batch, self.inputs)
        labelled = self.task.losses(out, batch)
        return {part.name: self._terms(part, out, wanted, labelled.get(part.name, {})) for part in self.parts}

    def _terms(
        self, part: Task, out: Outputs, wanted: Outputs, labelled: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        own = {name: value * (1 - self.share) for name, value in labelled.items()}
        names = tensor_names(part.outputs)
        ours, theirs = ({name: one[name] for name in names} for one in (out, wanted))
        return own | {TERM: part.distance(ours, theirs, self.temperature) * self.share}

    def own_metric(self) -> TaskMetric:
        return self.task.metric()

    def metric(self) -> TaskMetric:
        return self.task.metric()

    def decode(self, out: Outputs, inverses: Sequence[Inverse]) -> list[Prediction]:
        return self.task.decode(out, inverses)

    def ground_truth(self, batch: Batch) -> list[Prediction]:
        return self.task.ground_truth(batch)
