"""Predictions brought to the resolution of their labels.

Labels are a tensor (B, H, W), or a list of (H, W) tensors of different sizes. Predictions are never judged at the
network's own resolution: labels reduced to it would lose what is thin, and numbers for two sizes could not be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from xvision.data.framing import Framed, Inverse, spanning

Labels = Tensor | Sequence[Tensor]


def pairs(
    maps: Tensor, labels: Labels, framed: Framed | None, back: Callable[[Inverse, Tensor], Tensor]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Predictions (n, ...) and labels (n, ...) of one size, image by image where they must be brought back to it.

    `framed` is how the network saw the images (None: the maps span the labels), `back` a method of `Inverse`. One at a
    time, since enlarged class scores of a whole batch may not fit into memory.
    """
    assert len(maps) == len(labels), (len(maps), len(labels))
    spans = framed is None or framed.spans
    if isinstance(labels, Tensor) and spans and labels.shape[-2:] == maps.shape[-2:]:
        yield maps, labels
        return
    for one, label in zip(maps, labels, strict=True):
        height, width = label.shape[-2:]
        inverse = framed.inverse((height, width)) if framed else spanning((height, width))
        yield back(inverse, one[None]), label[None]


def class_ids(maps: Tensor, inverse: Inverse) -> Tensor:
    """Ids (H, W) uint8 of one map: scores (C, h, w) are enlarged before their argmax, ids (1, h, w) take the nearest.

    >>> import torch
    >>> class_ids(torch.tensor([[[4.0, 0.0]], [[0.0, 1.0]]]), spanning((1, 4))).tolist()  # 4 0 against 0 1
    [[0, 0, 0, 1]]
    >>> class_ids(torch.tensor([[[0, 1]]]), spanning((1, 4))).tolist()
    [[0, 0, 1, 1]]
    """
    if not maps.is_floating_point():
        return inverse.nearest(maps[0]).byte()
    return inverse.linear(maps[None])[0].argmax(0).byte()
