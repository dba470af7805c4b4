"""What int8 loses is told where it is more than a point, or 3 % of a metric that is no share."""

from __future__ import annotations

import pytest

from xvision.config.parts import Parts
from xvision.runs.int8_losses import int8_losses
from xvision.runs.measurements import Measurement
from xvision.tasks import task
from xvision.tasks.contract import Task
from xvision.tasks.multi import build_task

SEGMENTATION, DEPTH = ("segmentation/miou", "%"), ("depth/abs_rel", "%")


def rows(metric: tuple[str, str], *values: float, split: str = "val") -> list[Measurement]:
    """Float, then int8 in the simulation, then in a runtime."""
    columns = (("float", "pytorch"), ("int8", "simulation"), ("int8", "onnxruntime"))
    return [
        Measurement(
            network=network, executor=executor, split=split, metric=metric[0], value=value, unit=metric[1]
        )
        for (network, executor), value in zip(columns, values, strict=False)
    ]


@pytest.fixture(scope="module")
def both() -> Task:
    parts = (task.segmentation(num_classes=3), task.depth())
    return build_task(Parts(task, parts), {})


@pytest.mark.parametrize(
    ("metric", "values", "said"),
    [
        (SEGMENTATION, (70.0, 69.1), None),
        (
            SEGMENTATION,
            (70.0, 68.9),
            "int8 loses 1.10 points of segmentation: mean IoU on val (70.00 -> 68.90)",
        ),
        (SEGMENTATION, (70.0, 71.5), None),
        (SEGMENTATION, (70.0, 69.5, 40.0), None),  # the runtime is compared by its codes
        (DEPTH, (20.0, 18.0), None),  # smaller is better
        (
            DEPTH,
            (20.0, 21.5),
            "int8 loses 1.50 points of depth: relative depth error on val (20.00 -> 21.50)",
        ),
        (SEGMENTATION, (70.0,), None),
    ],
)
def test_losses(both: Task, metric: tuple[str, str], values: tuple[float, ...], said: str | None) -> None:
    assert list(int8_losses(rows(metric, *values), both, "int8")) == ([said] if said else [])


def test_every_split_and_task_is_looked_at(both: Task) -> None:
    found = [
        *rows(SEGMENTATION, 70.0, 60.0),
        *rows(DEPTH, 20.0, 30.0),
        *rows(SEGMENTATION, 50.0, 45.0, split="test"),
    ]
    assert [line.split()[2] for line in int8_losses(found, both, "int8")] == ["10.00", "10.00", "5.00"]


def test_each_network_is_compared_with_the_float_one(both: Task) -> None:
    """And not with the quantization before it."""
    other = [row.model_copy(update={"network": "w4"}) for row in rows(SEGMENTATION, 70.0, 65.0)[1:]]
    found = [*rows(SEGMENTATION, 70.0, 60.0), *other]
    assert [line.partition(" points")[0] for line in int8_losses(found, both, "w4")] == ["w4 loses 5.00"]
    assert [line.partition(" points")[0] for line in int8_losses(found, both, "int8")] == ["int8 loses 10.00"]
    assert not list(int8_losses(found, both, "a16"))
