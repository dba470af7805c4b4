"""Batches as people have them become the planes that a network takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.quant.patterns import trained
from xvision.graph.planes import plane_names, planes_of

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
        ([{"x": IMAGES}], "net: expected a batch with image, got a dict of x; call its keys"),
        (["a.png"], r"net: expected batches of 1 tensor with a batch dimension .*, got str"),
        ([torch.tensor(1.0)], "net: expected batches of 1 tensor with a batch dimension"),
    ],
)
def test_what_is_no_batch(batches: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(planes_of("net", ("image",), batches))
