"""What a metric means: what people call it, its unit, which way is better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class MetricSpec:
    """One metric, or with a `*` in its name those that differ in it, such as the IoU of each class.

    >>> iou = MetricSpec("iou_*", "IoU of *", "%")
    >>> iou.of("iou_car").label, iou.of("miou")
    ('IoU of car', None)
    """

    name: str
    label: str
    unit: str
    larger_is_better: bool = True
    primary: bool = False
    """Whether checkpoints are compared by it; true of one metric of a task."""

    def of(self, name: str) -> MetricSpec | None:
        """The spec of one metric; None if this is another's."""
        start, star, end = self.name.partition("*")
        if not star:
            return self if name == self.name else None
        if not (name.startswith(start) and name.endswith(end) and len(name) > len(start + end)):
            return None
        found = name[len(start) : len(name) - len(end)]
        return MetricSpec(
            name, self.label.replace("*", found), self.unit, self.larger_is_better, self.primary
        )


def find(specs: Sequence[MetricSpec], name: str) -> MetricSpec:
    """The spec of a metric. Raises: ValueError if none is declared for it."""
    found = next((one for spec in specs if (one := spec.of(name))), None)
    if found is None:
        known = ", ".join(spec.name for spec in specs)
        raise ValueError(f"metric '{name}': expected one of {known}; declare it with a MetricSpec")
    return found
