"""Predictions at the size of their labels."""

from __future__ import annotations

import torch

from xvision.data.framing import Framed, Framing, Inverse, spanning
from xvision.tasks.metrics.resolution import class_ids, pairs


def test_equal_sizes_come_as_they_are() -> None:
    maps, labels = torch.randn(2, 3, 4, 5), torch.zeros(2, 4, 5)
    for framed in (None, Framed(Framing("stretch"), (32, 40))):
        ((same, also),) = pairs(maps, labels, framed, Inverse.linear)
        assert same is maps
        assert also is labels


def test_a_list_of_labels_gives_one_pair_each() -> None:
    maps = torch.randn(2, 3, 4, 5)
    first, second = pairs(maps, [torch.zeros(4, 5), torch.zeros(7, 3)], None, Inverse.linear)
    assert torch.equal(first[0], maps[:1])
    assert first[1].shape == (1, 4, 5)
    assert second[0].shape == (1, 3, 7, 3)
    assert torch.equal(second[0], spanning((7, 3)).linear(maps[1:]))


def test_a_tensor_of_larger_labels() -> None:
    found = list(pairs(torch.randn(2, 3, 4, 5), torch.zeros(2, 8, 10), None, Inverse.linear))
    assert [(p.shape, label.shape) for p, label in found] == [((1, 3, 8, 10), (1, 8, 10))] * 2


def test_a_crop_of_the_label_is_not_taken_for_all_of_it() -> None:
    """Of the same size, yet the map shows the inner half alone."""
    maps = torch.tensor([[5, 6], [7, 8]]).repeat_interleave(2, 0).repeat_interleave(2, 1)[None, None]
    framed = Framed(Framing("crop", 0.5), (4, 4))
    ((found, _),) = pairs(maps, torch.zeros(1, 4, 4), framed, Inverse.nearest)
    assert found[0, 0, 1:3, 1:3].tolist() == [[5, 6], [7, 8]]
    assert class_ids(maps[0], framed.inverse((4, 4))).tolist() == found[0, 0].tolist()


def test_letterbox_leaves_its_borders_behind() -> None:
    maps = torch.tensor([9, 1, 2, 9]).reshape(1, 1, 4, 1).expand(1, 1, 4, 4)
    framed = Framed(Framing("letterbox"), (64, 64))
    ((found, _),) = pairs(maps, torch.zeros(1, 20, 40), framed, Inverse.nearest)
    assert found.unique().tolist() == [1, 2]
    assert (found[0, 0, :10] == 1).all()
