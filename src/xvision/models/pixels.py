"""Pixels: the first modules of every model, one per stream, and the pixel formats a camera pipeline can deliver.

A network of ours takes uint8 planes and computes (x - 128) / 64. That is exact in float, and it is what int8
hardware does for free: the uint8 input is already the first quantized tensor, with scale 1/64 and zero point
128. Weights that were trained on other numbers are folded on load (see `xvision.models.weights`).

YUV is BT.601 in studio swing (Y 16-235, U and V 16-240), as ITU-R BT.601-7 table 3 defines it and as camera
pipelines deliver it; the integer coefficients, in 1/256, are those of Jack, "Video Demystified", 4th ed.,
chapter 3. NV12 halves the resolution of U and V: each is the mean of 2x2 pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xvision.config.messages import nearest

ZERO_POINT = 128
STEPS = 64  # codes per unit: the input's scale is 1 / STEPS


@dataclass(frozen=True)
class Plane:
    """One input tensor of a pixel format: name, channels, how often smaller than the image."""

    name: str
    channels: int
    subsampling: int = 1


PLANES: dict[str, tuple[Plane, ...]] = {
    "rgb": (Plane("image", 3),),
    "bgr": (Plane("image", 3),),
    "gray": (Plane("image", 1),),
    "yuv444": (Plane("image", 3),),
    "nv12": (Plane("y", 1), Plane("uv", 2, subsampling=2)),
}


FLOW_PLANES: dict[str, tuple[Plane, ...]] = {
    "flow": (Plane("flow", 2),),
    "flow+confidence": (Plane("flow", 2), Plane("confidence", 1)),
}


def planes_of(format: str, stream: str = "image") -> tuple[Plane, ...]:
    """The planes of a pixel format, of which each stream but the image's has its own.

    >>> [plane.name for plane in planes_of("nv12")]
    ['y', 'uv']
    >>> [plane.name for plane in planes_of("nv12", "previous")]
    ['previous_y', 'previous_uv']
    """
    if stream == "flow":
        return FLOW_PLANES[format]
    if format not in PLANES:
        raise ValueError(f"no pixel format is called '{format}'; {nearest(format, PLANES)}")
    if stream == "image":
        return PLANES[format]
    names = {
        plane.name: stream if plane.name == "image" else f"{stream}_{plane.name}" for plane in PLANES[format]
    }
    return tuple(replace(plane, name=names[plane.name]) for plane in PLANES[format])


def channels_of(format: str) -> int:
    """Channels of the tensor that the first convolution sees."""
    return sum(plane.channels for plane in planes_of(format))


class Pixels(nn.Module):
    """uint8 planes of a stream to the float tensor that its first convolution sees: (x - 128) / 64, -2 to 1.984.

    Shapes: one (B, C, H, W), or for nv12 (B, 1, H, W) and (B, 2, H/2, W/2), to (B, C, H, W). Planes may also
    come as floats from 0 to 255. U and V of nv12 are enlarged by repeating pixels, which an int8 graph does
    without loss.
    """

    is_leaf = True  # of a captured graph

    def __init__(self, format: str = "rgb", stream: str = "image") -> None:
        super().__init__()
        self.format = format
        self.stream = stream
        self.planes = planes_of(format, stream)

    def concat(self, *planes: Tensor) -> Tensor:
        """The planes at full size as one tensor, codes unchanged."""
        full = [
            plane
            if spec.subsampling == 1
            else F.interpolate(plane, scale_factor=spec.subsampling, mode="nearest")
            for spec, plane in zip(self.planes, planes, strict=True)
        ]
        return full[0] if len(full) == 1 else torch.cat(full, dim=1)

    def forward(self, *planes: Tensor) -> Tensor:
        return (self.concat(*planes).float() - ZERO_POINT) / STEPS

    def example(
        self, size: tuple[int, int], batch: int = 1, device: str | torch.device = "cpu"
    ) -> tuple[Tensor, ...]:
        """Planes of zeros of the network (mid-gray) for an image of `size`, to trace, count or export with."""
        return example(self.planes, size, batch, device)

    def extra_repr(self) -> str:
        return self.format if self.stream == "image" else f"{self.stream}: {self.format}"


def example(
    planes: tuple[Plane, ...], size: tuple[int, int], batch: int = 1, device: str | torch.device = "cpu"
) -> tuple[Tensor, ...]:
    """Planes of zeros of the network (mid-gray, no motion) for an image of `size`."""
    return tuple(
        torch.full((batch, p.channels, *_divide(size, p)), ZERO_POINT, dtype=torch.uint8, device=device)
        for p in planes
    )


def _divide(size: tuple[int, int], plane: Plane) -> tuple[int, int]:
    height, width = size
    if height % plane.subsampling or width % plane.subsampling:
        raise ValueError(
            f"plane '{plane.name}': expected a height and width divisible by {plane.subsampling}, "
            f"got {height}x{width}; crop or resize the image"
        )
    return height // plane.subsampling, width // plane.subsampling


def encode(rgb: Tensor, format: str) -> tuple[Tensor, ...]:
    """Images in RGB as the planes that a camera pipeline would deliver in `format`.

    Shapes: uint8 (B, 3, H, W) to the uint8 planes of `PLANES`, on the same device. Gray is full-range luma
    (0.299 R + 0.587 G + 0.114 B), as monochrome cameras deliver it.

    Raises: ValueError for an unknown format, and for nv12 of an odd size.
    """
    planes = planes_of(format)
    for plane in planes:
        _divide((rgb.shape[-2], rgb.shape[-1]), plane)
    if format == "rgb":
        return (rgb,)
    if format == "bgr":
        return (rgb.flip(1),)
    r, g, b = rgb.to(torch.int32).unbind(1)
    if format == "gray":
        return (((77 * r + 150 * g + 29 * b + 128) >> 8).to(torch.uint8).unsqueeze(1),)
    y = (((66 * r + 129 * g + 25 * b + 128) >> 8) + 16).to(torch.uint8).unsqueeze(1)
    uv = torch.stack((-38 * r - 74 * g + 112 * b, 112 * r - 94 * g - 18 * b), dim=1)
    if format == "yuv444":
        return (torch.cat((y, (((uv + 128) >> 8) + 128).to(torch.uint8)), dim=1),)
    batch, _, height, width = uv.shape
    of_four = uv.view(batch, 2, height // 2, 2, width // 2, 2).sum(dim=(3, 5))
    return y, (((of_four + 512) >> 10) + 128).to(torch.uint8)
