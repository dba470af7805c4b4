"""Loss of flow, by hand."""

from __future__ import annotations

import pytest
import torch

from xvision.tasks.losses import loss


def test_end_point_by_hand() -> None:
    """Errors (3, 4) and (0, 2) px: 5 and 2; the third pixel is unknown."""
    flow = torch.zeros(1, 2, 1, 3)
    prediction = torch.tensor([[[[3.0, 0.0, 9.0]], [[4.0, 2.0, 9.0]]]], requires_grad=True)
    known = torch.tensor([[[1, 1, 0]]], dtype=torch.uint8)
    value = loss.end_point().build()(prediction, flow, known)
    value.backward()
    assert value.item() == pytest.approx(3.5)
    assert prediction.grad is not None
    assert prediction.grad[0, 0, 0].tolist() == pytest.approx([0.3, 0, 0])
    assert prediction.grad[0, 1, 0].tolist() == pytest.approx([0.4, 0.5, 0])


def test_a_pixel_at_rest_is_known_and_flow_that_is_no_number_is_not() -> None:
    flow = torch.tensor([[[[0.0, torch.nan]], [[0.0, 1.0]]]])
    assert loss.end_point().build()(torch.ones(1, 2, 1, 2), flow) == pytest.approx(2**0.5)
