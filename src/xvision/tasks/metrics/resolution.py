"""Predictions brought to the resolution of their labels.

Labels are a tensor (B, H, W), or a list of (H, W) tensors of different sizes. Predictions are never judged at the
network's own resolution: labels reduced to it would lose what is thin, and numbers for two sizes could not be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

Labels = Tensor | Sequence[Tensor]


def pairs(
    maps: Tensor, labels: Labels, resize: Callable[[Tensor, int, int], Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Predictions (n, ...) and labels (n, ...) of one size, image by image where they must be resized.

    One at a time, since enlarged class scores of a whole batch may not fit into memory.
    """
    assert len(maps) == len(labels), (len(maps), len(labels))
    if isinstance(labels, Tensor) and labels.shape[-2:] == maps.shape[-2:]:
        yield maps, labels
        return
    for one, label in zip(maps, labels, strict=True):
        height, width = label.shape[-2:]
        same = one.shape[-2:] == (height, width)
        yield one[None] if same else resize(one[None], height, width), label[None]


def linear(maps: Tensor, height: int, width: int) -> Tensor:
    """(B, C, h, w) to (B, C, H, W): bilinear, corners of pixels aligned, as images are resized.

    >>> linear(torch.tensor([[[[0.0, 4.0]]]]), 1, 4).flatten().tolist()
    [0.0, 1.0, 3.0, 4.0]
    """
    return F.interpolate(maps.float(), size=(height, width), mode="bilinear", align_corners=False)


def nearest(maps: Tensor, height: int, width: int) -> Tensor:
    """(..., h, w) to (..., H, W): the value of the pixel in which each new centre lies; for ids.

    >>> nearest(torch.tensor([[3, 7]]), 1, 4).tolist()
    [[3, 3, 7, 7]]
    """
    rows = ((torch.arange(height, device=maps.device) + 0.5) * (maps.shape[-2] / height)).long()
    columns = ((torch.arange(width, device=maps.device) + 0.5) * (maps.shape[-1] / width)).long()
    return maps[..., rows[:, None], columns]


def class_ids(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Ids (H, W) uint8 of one map: scores (C, h, w) are enlarged before their argmax, ids (1, h, w) by `nearest`.

    >>> class_ids(torch.tensor([[[4.0, 0.0]], [[0.0, 1.0]]]), (1, 4)).tolist()  # 4 0 against 0 1
    [[0, 0, 0, 1]]
    >>> class_ids(torch.tensor([[[0, 1]]]), (1, 4)).tolist()
    [[0, 0, 1, 1]]
    """
    if not maps.is_floating_point():
        return nearest(maps[0], *size).to(torch.uint8)
    same = maps.shape[-2:] == torch.Size(size)
    return (maps if same else linear(maps[None], *size)[0]).argmax(0).to(torch.uint8)


def flow(maps: Tensor, height: int, width: int) -> Tensor:
    """(B, 2, h, w) to (B, 2, H, W): bilinear, and vectors grow with the map they are measured in.

    >>> flow(torch.ones(1, 2, 1, 1), 2, 4)[0, :, 0, 0].tolist()
    [4.0, 2.0]
    """
    ratio = maps.new_tensor([width / maps.shape[-1], height / maps.shape[-2]], dtype=torch.float32)
    return linear(maps, height, width) * ratio[:, None, None]
