"""What is wrong with calibration images: too few, the same ones again and again, noise, one class.

Ranges are those of the images that calibration sees. Noise fills other ranges than photographs do, copies and images
of one class leave out what other images bring; none of it fails, it only costs accuracy later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from xvision.quant.calibration import LEAST_IMAGES, Batches, count
from xvision.quant.collapse import ClassCounts

LOOKED_AT = 64
"""Images of which pixels are looked at."""
LEAST_SIDE_PX = 4
CORRELATED = 0.25
"""Of neighbouring pixels: below it an image is noise. Photographs and drawn scenes have 0.6 to 0.99."""
BINS = 32
FLAT = 0.1
"""Total variation from equally many pixels in each bin, below which a histogram is that of a random generator."""
LEAST_PIXELS = 4096
"""Fewer do not tell a flat histogram from another."""

LEAST_COPIED = 8
"""Images of which half must be different."""


def doubts(images: Batches, find: Callable[[Batches], Mapping[str, ClassCounts]]) -> Iterator[str]:
    """A sentence for what is wrong with calibration images, as their first plane shows.

    `find` says how often the float network finds each class in some of them, by output.
    """
    number = count(images)
    if number < LEAST_IMAGES:
        yield (
            f"calibration: {number} images, fewer than {LEAST_IMAGES}, so none is held back: corrections are judged on "
            "the images that they were fitted to; a few hundred are best"
        )
    different = len({hash(image.numpy().tobytes()) for planes in images for image in planes[0].cpu()})
    if number >= LEAST_COPIED and different <= number // 2:
        yield (
            f"calibration: {number} images, only {different} of them different; give images from all over the training "
            "data, each once"
        )
    elif _is_noise(images):
        yield (
            "calibration: images look like noise, in which neighbouring pixels are not related or every value occurs "
            "equally often; ranges that fit it do not fit photographs: give images of the training data"
        )
    elif number >= LEAST_IMAGES:
        yield from _one_class(images, find)


def _one_class(images: Batches, find: Callable[[Batches], Mapping[str, ClassCounts]]) -> Iterator[str]:
    """For each output that scores whole images; looks no further once each has found two classes."""
    found: dict[str, ClassCounts] = {}
    for planes in images:
        for name, more in find([planes]).items():
            if more.what == "images" and len(more.counts) > 1:
                found[name] = found[name] + more if name in found else more
        if all(one.different > 1 for one in found.values()):
            return
    for name, one in found.items():
        if one.different == 1:
            yield (
                f"calibration: the float network finds class {int(one.counts.argmax())} of '{name}' in all "
                f"{count(images)} images; give images of all classes, from all over the training data, and a trained "
                "network"
            )


def _is_noise(images: Batches) -> bool:
    taken, left = list[Tensor](), LOOKED_AT
    for planes in images:
        image = planes[0][:left]
        if image.ndim != 4 or min(image.shape[2:]) < LEAST_SIDE_PX:
            return False
        taken.append(image)
        left -= len(image)
        if left <= 0:
            break
    pixels = torch.cat(taken).cpu().double()
    related = torch.stack([_correlation(pixels), _correlation(pixels.mT)]).amax(0)
    related = related[related.isfinite()]  # not those of one colour
    if not len(related):
        return False
    return bool(related.median() < CORRELATED) or _is_flat(pixels)


def _correlation(pixels: Tensor) -> Tensor:
    """Of each pixel with its right neighbour, (B, C); NaN where all are the same."""
    left, right = pixels[..., :-1].flatten(2), pixels[..., 1:].flatten(2)
    left, right = left - left.mean(2, keepdim=True), right - right.mean(2, keepdim=True)
    return (left * right).sum(2) / (left.square().sum(2) * right.square().sum(2)).sqrt()


def _is_flat(pixels: Tensor) -> bool:
    """Whether in nearly all images the values of every channel are spread evenly."""
    if pixels[0, 0].numel() < LEAST_PIXELS:
        return False
    flat = 0
    low, high = float(pixels.min()), float(pixels.max())
    for image in pixels:
        shares = torch.stack([torch.histc(channel.float(), BINS, low, high) for channel in image])
        shares = shares / shares.sum(1, keepdim=True)
        flat += bool(((shares - 1 / BINS).abs().sum(1) / 2 < FLAT).all())
    return flat > 0.9 * len(pixels)
