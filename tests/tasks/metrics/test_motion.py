"""Moving and static pixels, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from xvision.tasks.metrics.motion import MotionMetric


def test_iou_of_both_and_their_mean() -> None:
    """Moving: 1 of 3 pixels in the union; static: 2 of 4. The original's table is their mean too: (99.7 + 71.3) / 2."""
    m = MotionMetric()
    found = torch.tensor([[[0, 0, 0, 1, 1]]])
    m.update({"motion": found}, {"motion": torch.tensor([[[0, 0, 1, 1, 0]]])})
    scores = m.compute()
    assert scores == pytest.approx(
        {"miou": 100 * (1 / 3 + 1 / 2) / 2, "moving_iou": 100 / 3, "static_iou": 50}
    )
    assert m.confusions() == {"motion": [[2, 1], [1, 1]]}


def test_where_nothing_moves_and_nothing_is_said_to() -> None:
    m = MotionMetric()
    m.update({"motion": torch.tensor([[[5.0, 5.0]], [[0.0, 0.0]]])[None]}, {"motion": torch.zeros(1, 1, 2)})
    scores = m.compute()
    assert scores["miou"] == scores["static_iou"] == 100
    assert math.isnan(scores["moving_iou"])
