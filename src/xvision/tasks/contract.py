"""What a task is: a learning contract (labels, outputs, loss, decoding, metrics) and a view for people.

The engine knows nothing of any task. It builds heads from `outputs`, adds up the terms of `losses`, feeds `metric`, and
asks `decode` and `view` for what people read and see. In its own file a task calls losses and metrics by their bare
names; the engine sees them with the task's name before them: ``depth/silog``, ``depth/abs_rel``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from xvision.data.dataset import Split
from xvision.data.framing import Inverse
from xvision.fields import FIELDS
from xvision.models.outputs import OutputSpec, tensor_names
from xvision.tasks.distance import distance
from xvision.tasks.metrics.contract import Batch, Outputs, TaskMetric
from xvision.tasks.metrics.keyed import KeyedMetric
from xvision.tasks.metrics.spec import MetricSpec, find
from xvision.tasks.view import Prediction, View


class Task(ABC):
    """One task; `MultiTask` is several in one network."""

    name: str
    needs: tuple[str, ...]
    """Label fields of a sample that the loss and the metric read."""
    outputs: tuple[OutputSpec, ...]
    """What the network gives for it: one decoder gives all of them."""
    classes: Mapping[str, tuple[str, ...]]
    """Label fields that are classes, and the names of those in the order of their ids."""
    loss_names: tuple[str, ...]
    """The names that `loss` returns."""
    metrics: tuple[MetricSpec, ...]
    """What `own_metric` computes; one of them is primary, a share in percent."""
    view: View
    class_maps: tuple[str, ...] = ()
    """Outputs that score classes per pixel. A file may give ids for them, which `metric` and `decode` then take too."""

    # ------------------------------------------------------------------------------------- what a task file writes

    def advice(self, inputs: Sequence[str]) -> list[str]:
        """What a user should know before this task is learned from a network's inputs; nothing for most."""
        return []

    def prepare(self, train: Split) -> str:
        """Learn what the loss has to know of the training samples, such as how often each class occurs.

        Called before training, in every process, and never for validation or inference. A line for people, or nothing.
        """
        return ""

    @abstractmethod
    def loss(self, out: Outputs, batch: Batch) -> dict[str, Tensor]:
        """Named scalar terms, to be added up."""

    def distance(self, out: Outputs, teacher: Outputs, temperature: float) -> Tensor:
        """How far its outputs are from those of a teacher: of class scores their divergence, else of raw numbers."""
        return distance(self.outputs, out, teacher, temperature)

    @abstractmethod
    def own_metric(self) -> TaskMetric:
        """A new count of `metrics`."""

    @abstractmethod
    def decode(self, out: Outputs, inverses: Sequence[Inverse]) -> list[Prediction]:
        """What was found in each image of a batch; `inverses` bring maps, boxes and points back to it."""

    @abstractmethod
    def ground_truth(self, batch: Batch) -> list[Prediction]:
        """What the labels of a batch say, in the form of `decode`."""

    # --------------------------------------------------------------------------------------- what the engine sees

    @property
    def parts(self) -> tuple[Task, ...]:
        """The tasks that this one is made of: itself."""
        return (self,)

    @property
    def outputs_by_task(self) -> dict[str, tuple[OutputSpec, ...]]:
        """The outputs of each of `parts`, by its name."""
        return {part.name: part.outputs for part in self.parts}

    @property
    def needs_of_parts(self) -> dict[str, tuple[str, ...]]:
        """The labels that each of `parts` needs, by its name."""
        return {part.name: part.needs for part in self.parts}

    @property
    def maps(self) -> tuple[str, ...]:
        """The labels that are maps: with any, validation sees whole images and measures at the labels' resolution."""
        return tuple(name for name in self.needs if FIELDS[name].dims.startswith("HW"))

    @property
    def terms(self) -> tuple[str, ...]:
        """The loss terms, as ``task/term``."""
        return tuple(f"{part.name}/{name}" for part in self.parts for name in part.loss_names)

    @property
    def metric_specs(self) -> tuple[MetricSpec, ...]:
        """What each metric means, by the key that it has in results: ``task/metric``."""
        return tuple(replace(spec, name=f"{self.name}/{spec.name}") for spec in self.metrics)

    def spec(self, key: str) -> MetricSpec:
        """What a metric means. Raises: ValueError if this task has none of that key."""
        return find(self.metric_specs, key)

    @property
    def primary(self) -> str:
        """The key of the metric by which checkpoints are compared."""
        return next(spec.name for spec in self.metric_specs if spec.primary)

    def improves(self, value: float, best: float) -> bool:
        """Whether a value of `primary` is better than the best so far (NaN: there is none)."""
        larger = self.spec(self.primary).larger_is_better
        return best != best or (value > best if larger else value < best)

    def losses(self, out: Outputs, batch: Batch) -> dict[str, dict[str, Tensor]]:
        """The terms of each of `parts` that has labels in this batch, by its name."""
        return {self.name: self.loss(out, batch)}

    def metric(self) -> TaskMetric:
        """A new count of all metrics by their keys, as `metric_specs` lists them."""
        return KeyedMetric(
            {self.name: self.own_metric()}, {self.name: (self.needs, tensor_names(self.outputs))}
        )
