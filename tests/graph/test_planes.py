"""Batches as people have them become the planes that a network takes."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.quant.patterns import trained
from xvision.graph.planes import called_with, plane_names, planes_of

IMAGES = torch.randn(4, 3, 8, 8)
LABELS = torch.arange(4)


class Masked(nn.Module):
    def forward(self, image: Tensor, mask: Tensor, gain: float = 1.0, *, scale: float = 1.0) -> Tensor:
        return image * mask * gain * scale


def test_the_names_of_planes() -> None:
    assert plane_names(Masked()) == ("image", "mask")
    assert plane_names(nn.ReLU()) == ("input",)
    assert plane_names(trained("two_heads")[0]) == ("y", "uv")


@pytest.mark.parametrize(
    "batches",
    [
        IMAGES,
        [IMAGES],
        [(IMAGES,)],
        [(IMAGES, LABELS)],
        [[IMAGES, LABELS, ["a"] * 4]],
        [{"image": IMAGES, "label": LABELS}],
        [IMAGES.double()],
    ],
)
def test_one_plane(batches: Any) -> None:
    ((plane,),) = planes_of("net", ("image",), batches)
    assert plane.dtype == torch.float32
    assert torch.equal(plane, IMAGES)


def test_several_planes_and_integers() -> None:
    codes = torch.zeros(4, 1, dtype=torch.uint8)
    for batch in ((codes, IMAGES, LABELS), {"b": IMAGES, "a": codes}):
        ((a, b),) = planes_of("net", ("a", "b"), [batch])
        assert a.dtype == torch.uint8
        assert torch.equal(b, IMAGES)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([IMAGES[:0]], "net: expected batches of images, got an empty one"),
        ([{"x": IMAGES, "y": IMAGES}], "net: expected a batch with image, got a dict of x, y; call its keys"),
        (["a.png"], r"net: expected batches of 1 tensor with a batch dimension .*, got str"),
        ([torch.tensor(1.0)], "net: expected batches of 1 tensor with a batch dimension"),
    ],
)
def test_what_is_no_batch(batches: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(planes_of("net", ("image",), batches))


class Optional(nn.Module):
    """Takes a mask where there is one."""

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x if mask is None else x * mask


class ByName(nn.Module):
    """Takes nothing by its place."""

    def forward(self, *, image: Tensor, mask: Tensor) -> Tensor:
        return image * mask


class Any_(nn.Module):
    """Takes what there is."""

    def forward(self, *planes: Tensor) -> Tensor:
        return sum(planes, start=torch.zeros(()))


@pytest.mark.parametrize("network", [Optional(), ByName()])
def test_a_dict_gives_optional_arguments_too(network: nn.Module) -> None:
    first = next(iter(inspect.signature(network.forward).parameters))
    batch = {"mask": torch.full((2, 3, 4, 4), 2.0), first: torch.ones(2, 3, 4, 4), "label": torch.zeros(2)}
    called = called_with(network, batch)
    assert plane_names(called) == (first, "mask")
    (planes,) = planes_of("net", plane_names(called), [batch])
    assert torch.equal(called(*planes), torch.full((2, 3, 4, 4), 2.0))


def test_a_network_of_any_number_of_planes_takes_all_of_them() -> None:
    called = called_with(Any_(), (torch.ones(1, 3, 4, 4), torch.ones(1, 3, 4, 4)))
    assert plane_names(called) == ("input0", "input1")
    assert float(called(torch.ones(1), torch.ones(1))) == 2


def test_what_follows_may_be_an_argument() -> None:
    with pytest.warns(
        UserWarning, match="Optional: takes mask too, what follows x in a batch is taken for labels"
    ):
        assert isinstance(called_with(Optional(), (torch.ones(1), torch.ones(1))), Optional)


def test_one_image_in_a_dict_may_be_called_anything() -> None:
    images = torch.ones(2, 3, 4, 4)
    ((found,),) = planes_of("net", ("image",), [{"x": images, "label": torch.zeros(2)}])
    assert found is images


def test_a_batch_with_numbers_that_are_none_is_named() -> None:
    bad = torch.full((2, 3, 4, 4), torch.nan)
    with pytest.raises(
        ValueError, match="net: expected batches of finite numbers, got NaN or infinity in batch 2"
    ):
        list(planes_of("net", ("x",), [torch.ones(2, 3, 4, 4), bad]))


def test_a_name_that_is_there_counts() -> None:
    rows, maps = torch.ones(2, 5), torch.ones(2, 3, 4, 4)
    ((found,),) = planes_of("net", ("x",), [{"x": rows, "mask": maps}])
    assert found is rows
