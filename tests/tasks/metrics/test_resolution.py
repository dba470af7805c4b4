"""Predictions at the size of their labels."""

from __future__ import annotations

import torch

from xvision.tasks.metrics.resolution import flow, linear, nearest, pairs


def test_equal_sizes_come_as_they_are() -> None:
    maps, labels = torch.randn(2, 3, 4, 5), torch.zeros(2, 4, 5)
    ((same, also),) = pairs(maps, labels, linear)
    assert same is maps
    assert also is labels


def test_a_list_of_labels_gives_one_pair_each() -> None:
    maps = torch.randn(2, 3, 4, 5)
    first, second = pairs(maps, [torch.zeros(4, 5), torch.zeros(7, 3)], linear)
    assert torch.equal(first[0], maps[:1])
    assert first[1].shape == (1, 4, 5)
    assert second[0].shape == (1, 3, 7, 3)
    assert torch.equal(second[0], linear(maps[1:], 7, 3))


def test_a_tensor_of_larger_labels() -> None:
    found = list(pairs(torch.randn(2, 3, 4, 5), torch.zeros(2, 8, 10), linear))
    assert [(p.shape, label.shape) for p, label in found] == [((1, 3, 8, 10), (1, 8, 10))] * 2


def test_nearest_enlarges_and_reduces_about_centres() -> None:
    ids = torch.tensor([[1, 2, 3, 4]])
    assert nearest(ids, 2, 8).tolist() == [[1, 1, 2, 2, 3, 3, 4, 4]] * 2
    assert nearest(ids, 1, 2).tolist() == [[2, 4]]


def test_flow_is_in_pixels_of_the_map_it_belongs_to() -> None:
    maps = torch.tensor([2.0, 3.0]).reshape(1, 2, 1, 1).expand(1, 2, 4, 4)
    enlarged = flow(maps, 8, 12)
    assert enlarged.shape == (1, 2, 8, 12)
    assert enlarged[0, :, 5, 5].tolist() == [6, 6]
