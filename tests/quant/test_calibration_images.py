"""Calibration images that are too few, copies, noise or of one class are told; honest ones are not."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import xvision as xv
from xvision.data.datasets import dataset
from xvision.quant.calibration import Batches, replayed
from xvision.quant.calibration_images import doubts
from xvision.quant.collapse import ClassCounts
from xvision.quant.methods import method

RANGES_ALONE = method.ptq(rungs="mse")


def finds_two(images: Batches) -> Mapping[str, ClassCounts]:
    return {"class": ClassCounts("images", torch.tensor([1, 1, 0]))}


def finds_one(images: Batches) -> Mapping[str, ClassCounts]:
    return {"class": ClassCounts("images", torch.tensor([0, len(images[0][0]), 0]))}


def scenes(number: int) -> Tensor:
    split = dataset.scenes(num_train=number, size="64x64").build().splits["train"]
    images = np.stack([split.load(i)["image"] for i in range(number)])
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def smooth(number: int, side: int = 64) -> Tensor:
    """Clouds, which have the spectrum of photographs, with their dark and bright ends cut as exposure does."""
    random = torch.Generator().manual_seed(0)
    image = sum(
        2.0**k
        * F.interpolate(torch.randn(number, 3, 2**k, 2**k, generator=random) / 4**k, side, mode="bilinear")
        for k in range(1, 6)
    )
    assert isinstance(image, Tensor)
    return (128 + 100 * image).clamp(0, 255).to(torch.uint8)


def noise(number: int, side: int = 64, cell: int = 1) -> Tensor:
    random = torch.Generator().manual_seed(0)
    cells = (number, 3, side // cell, side // cell)
    image = torch.randint(0, 256, cells, dtype=torch.uint8, generator=random)
    return image.repeat_interleave(cell, 2).repeat_interleave(cell, 3)


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (noise(40), "look like noise"),
        (noise(40).float() / 255, "look like noise"),
        (torch.randn(40, 3, 32, 32, generator=torch.Generator().manual_seed(0)), "look like noise"),
        (noise(40, side=128, cell=2), "look like noise"),  # related, but every value equally often
        (scenes(40), None),
        (smooth(40), None),
        (smooth(40).float() / 255 - 0.5, None),
        (smooth(40)[:, :1], None),
        (smooth(40, 32)[:, :, :1].expand(-1, -1, 32, -1), None),  # the same in every row
        (noise(40)[:, :, :1], None),  # a line, such as sound: no image
        (smooth(40)[:1].expand(40, -1, -1, -1), "40 images, only 1 of them different"),
        (torch.full((40, 3, 32, 32), 7, dtype=torch.uint8), "only 1 of them different"),
        (smooth(8), "8 images, fewer than 32, so none is held back"),
    ],
)
def test_what_is_said_of_images(images: Tensor, said: str | None) -> None:
    found = list(doubts([(part,) for part in images.split(16)], finds_two))
    assert len(found) == (said is not None), found
    assert said is None or said in found[0]


def test_images_of_one_class() -> None:
    batches = [(part,) for part in smooth(40).split(16)]
    (line,) = doubts(batches, finds_one)
    assert "the float network finds class 1 of 'class' in all 40 images; give images of all classes" in line
    calls = iter([finds_one, finds_one, finds_two])
    assert not list(doubts(batches, lambda some: next(calls)(some)))


class Brightness(nn.Module):
    """Three classes: dark, medium, bright."""

    num_classes = 3

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([-1.0, 0.0, 1.0]).reshape(3, 1, 1, 1).expand(-1, 3, -1, -1))
            self.conv.bias.copy_(torch.tensor([0.0, 0.2, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.conv(x).mean((2, 3))
        return scores


def test_a_classifier_is_asked_for_the_class_of_its_images() -> None:
    images = smooth(40).float() / 128 - 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        q = xv.quantize(Brightness(), images, method=RANGES_ALONE)
    assert q.meta["warnings"] == {"images": [], "classes": []}
    with pytest.warns(
        UserWarning, match=r"Brightness: calibration: the float network finds class 2 of 'out0' in all"
    ):
        q = xv.quantize(Brightness(), images + 2, method=RANGES_ALONE)
    assert len(q.meta["warnings"]["images"]) == 1


def test_batches_that_can_be_read_once_are_looked_at_too() -> None:
    images = smooth(40).float() / 128 - 1
    with pytest.warns(UserWarning, match="finds class 2 of 'out0' in all 40 images"):
        xv.quantize(Brightness(), iter((images + 2).split(8)), method=RANGES_ALONE)


def test_batches_are_drawn_once() -> None:
    drawn = []

    def batches() -> Batches:
        drawn.append("all")
        return [(torch.tensor([i]),) for i in range(3)]

    again = replayed(batches)
    first = again()
    assert next(first)[0] == 0
    assert [int(planes[0]) for planes in again()] == [0, 1, 2]
    assert [int(planes[0]) for planes in first] == [1, 2]
    assert drawn == ["all"]
