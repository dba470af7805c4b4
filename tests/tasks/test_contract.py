"""Numbers stand with their units."""

from __future__ import annotations

import pytest
from xvision.report.units import metric_name, unit

from xvision.tasks import task
from xvision.tasks.metrics.flow import FlowMetric
from xvision.tasks.multi import MultiTask

pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``compute`` method"
)  # the names are wanted, not the numbers
CLASSES = dict.fromkeys(("class", "segmentation"), ("a", "b", "c", "d", "e", "St. Bernard"))


@pytest.mark.parametrize("name", sorted(task.builders()))
def test_every_metric_of_every_task_has_a_unit(name: str) -> None:
    made = getattr(task, name)().build(CLASSES)
    alone = list(made.metric().compute())
    together = list(MultiTask([made]).metric().compute())
    assert len(together) == len(alone) + 1
    for metric in (*alone, *together):
        assert unit(metric), metric
        assert metric_name(metric).endswith(f", {unit(metric)}")
        assert "_" not in metric_name(metric)
    assert {unit(f"{name}.{metric}") for metric in alone} == {unit(metric) for metric in alone}


def test_flow_is_measured_in_pixels() -> None:
    assert [unit(name) for name in FlowMetric().compute()] == ["px", "%"]
