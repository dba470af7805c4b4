"""Tone of a whole batch is what torchvision gives."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from xvision.data.tone import change_tone


def photographs(size: tuple[int, int], num: int = 48) -> Tensor:
    """Noise, smooth images and gray ones, (B, 3, H, W) with the channels of a pixel side by side."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (num, *size, 3), dtype=np.uint8)
    for image in images[::2]:
        image[...] = cv2.GaussianBlur(image, (0, 0), 3)
    images[::5, :, :, 1:] = images[::5, :, :, :1]
    return torch.from_numpy(images).permute(0, 3, 1, 2)


@pytest.mark.parametrize("size", [(32, 32), (65, 47), (160, 160), (256, 256), (360, 480)])
@pytest.mark.parametrize(
    "strengths",
    [(0.4, 0.4, 0), (0.9, 0, 0), (0, 0.9, 0), (0.2, 0.9, 0), (0, 0, 0.9), (0.3, 0.3, 0.3), (0.9, 0, 0.9)],
)
def test_every_bit_is_that_of_torchvision(size: tuple[int, int], strengths: tuple[float, ...]) -> None:
    jitter = v2.ColorJitter(*strengths)
    images = photographs(size, 48 if size[0] < 256 else 8)
    expected, params = [], []
    for number, image in enumerate(images):
        torch.manual_seed(number)
        expected.append(jitter(tv_tensors.Image(image)).as_subclass(Tensor))
        torch.manual_seed(number)
        params.append(jitter.make_params([]))
    change_tone(images, params)
    assert torch.equal(images, torch.stack(expected))


def test_images_in_another_order_of_memory() -> None:
    params = [v2.ColorJitter(0.5, 0.5, 0.5).make_params([]) for _ in range(48)]
    images = photographs((24, 16))
    planes = images.contiguous()
    assert planes.stride() != images.stride()
    for one in (images, planes):
        change_tone(one, params)
    assert torch.equal(images, planes)
