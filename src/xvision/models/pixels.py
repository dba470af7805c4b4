"""Pixels: the first modules of every model, one per stream, and the pixel formats a camera pipeline can deliver.

A network of ours takes uint8 planes and computes (x - 128) / 64. That is exact in float, and it is what int8
hardware does for free: the uint8 input is already the first quantized tensor, with scale 1/64 and zero point
128. Weights that were trained on other numbers are folded on load (see `xvision.models.weights`).

YUV is BT.601, in studio swing (Y 16-235, U and V 16-240), as ITU-R BT.601-7 table 3 defines it and as most camera
pipelines deliver it, or in full swing (0-255), as JPEG has it (ITU-T T.871); the integer coefficients, in 1/256, are
those of Jack, "Video Demystified", 4th ed., chapter 3. NV12 halves the resolution of U and V, each the mean of 2x2
pixels, and keeps them side by side in one plane of U V U V …, which the network takes as a camera's buffer holds it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xvision.config.messages import nearest

ZERO_POINT = 128
STEPS = 64  # codes per unit: the input's scale is 1 / STEPS


YuvRange = Literal["studio", "full"]


@dataclass(frozen=True)
class Plane:
    """One input tensor of a pixel format: name, channels, how often smaller than the image."""

    name: str
    channels: int
    subsampling: int = 1
    interleaved: bool = False
    """Whether the channels of a pixel lie side by side (H, W, C), and not each in a plane of its own (C, H, W)."""

    def shape(self, size: tuple[int, int]) -> tuple[int, int, int]:
        """That of one image of `size`. Raises: ValueError if the plane cannot be so much smaller."""
        height, width = size
        if height % self.subsampling or width % self.subsampling:
            raise ValueError(
                f"plane '{self.name}': expected a height and width divisible by {self.subsampling}, "
                f"got {height}x{width}; crop or resize the image"
            )
        sides = height // self.subsampling, width // self.subsampling
        return (*sides, self.channels) if self.interleaved else (self.channels, *sides)


PLANES: dict[str, tuple[Plane, ...]] = {
    "rgb": (Plane("image", 3),),
    "bgr": (Plane("image", 3),),
    "gray": (Plane("image", 1),),
    "yuv444": (Plane("image", 3),),
    "nv12": (Plane("y", 1), Plane("uv", 2, subsampling=2, interleaved=True)),
}


@dataclass(frozen=True)
class Coefficients:
    """RGB to YUV in 1/256: Y = (y . RGB) / 256 + y_zero, U = (u . RGB) / 256 + 128, V alike."""

    y: tuple[int, int, int]
    u: tuple[int, int, int]
    v: tuple[int, int, int]
    y_zero: int


YUV: dict[YuvRange, Coefficients] = {
    "studio": Coefficients((66, 129, 25), (-38, -74, 112), (112, -94, -18), 16),
    "full": Coefficients((77, 150, 29), (-43, -85, 128), (128, -107, -21), 0),
}
YUV_FORMATS = ("yuv444", "nv12")


CODING = (
    "code = floor((M . RGB + 128 n) / (256 n)) + offset, saturated to 0 and 255: RGB are the values 0-255 of the "
    "framed image, M is matrix_256; of a plane that is subsampled, M . RGB is the sum over n = subsampling^2 pixels"
)
_RGB = ((256, 0, 0), (0, 256, 0), (0, 0, 256))


def coding_of(format: str, yuv_range: YuvRange) -> dict[str, dict[str, Any]]:
    """How `encode` makes the codes of each plane of a pixel format, for files: `CODING` with these numbers."""
    of = YUV[yuv_range]
    letters, rows, offset = {
        "rgb": ("RGB", _RGB, (0, 0, 0)),
        "bgr": ("BGR", _RGB[::-1], (0, 0, 0)),
        "gray": ("Y", (YUV["full"].y,), (0,)),
    }.get(format, ("YUV", (of.y, of.u, of.v), (of.y_zero, ZERO_POINT, ZERO_POINT)))
    found, at = {}, 0
    for plane in PLANES[format]:
        here = slice(at, at + plane.channels)
        found[plane.name] = {
            "channels": list(letters[here]),
            "matrix_256": [list(row) for row in rows[here]],
            "offset": list(offset[here]),
            "subsampling": plane.subsampling,
            "formula": CODING,
        }
        at += plane.channels
    return found


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

    Shapes: one (B, C, H, W), or for nv12 (B, 1, H, W) and (B, H/2, W/2, 2), to (B, C, H, W). Planes may also
    come as floats from 0 to 255. U and V of nv12 are enlarged by repeating pixels, which an int8 graph does
    without loss. `yuv_range` is what the codes of YUV mean; it changes nothing here.
    """

    is_leaf = True  # of a captured graph

    def __init__(self, format: str = "rgb", stream: str = "image", yuv_range: YuvRange = "studio") -> None:
        super().__init__()
        self.format = format
        self.stream = stream
        self.yuv_range = yuv_range
        self.planes = planes_of(format, stream)

    def concat(self, *planes: Tensor) -> Tensor:
        """The planes at full size as one tensor, codes unchanged."""
        full = [_at_full_size(plane, spec) for spec, plane in zip(self.planes, planes, strict=True)]
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


def _at_full_size(plane: Tensor, spec: Plane) -> Tensor:
    """(B, C, H, W) of the image's size."""
    plane = plane.permute(0, 3, 1, 2) if spec.interleaved else plane
    if spec.subsampling == 1:
        return plane
    return F.interpolate(plane, scale_factor=spec.subsampling, mode="nearest")


def example(
    planes: tuple[Plane, ...], size: tuple[int, int], batch: int = 1, device: str | torch.device = "cpu"
) -> tuple[Tensor, ...]:
    """Planes of zeros of the network (mid-gray, no motion) for an image of `size`."""
    return tuple(
        torch.full((batch, *p.shape(size)), ZERO_POINT, dtype=torch.uint8, device=device) for p in planes
    )


def encode(rgb: Tensor, format: str, yuv_range: YuvRange = "studio") -> tuple[Tensor, ...]:
    """Images in RGB as the planes that a camera pipeline would deliver in `format`.

    Shapes: uint8 (B, 3, H, W) to the uint8 planes of `PLANES`, on the same device. Gray is full-range luma
    (0.299 R + 0.587 G + 0.114 B), as monochrome cameras deliver it.

    Raises: ValueError for an unknown format, and for nv12 of an odd size.
    """
    planes = planes_of(format)
    for plane in planes:
        plane.shape((rgb.shape[-2], rgb.shape[-1]))
    if format == "rgb":
        return (rgb,)
    if format == "bgr":
        return (rgb.flip(1),)
    r, g, b = rgb.to(torch.int32).unbind(1)
    if format == "gray":
        return (((_dot(YUV["full"].y, r, g, b) + 128) >> 8).to(torch.uint8).unsqueeze(1),)
    of = YUV[yuv_range]
    y = (((_dot(of.y, r, g, b) + 128) >> 8) + of.y_zero).to(torch.uint8).unsqueeze(1)
    uv = torch.stack((_dot(of.u, r, g, b), _dot(of.v, r, g, b)), dim=1)
    if format == "yuv444":
        return (torch.cat((y, _chroma((uv + 128) >> 8)), dim=1),)
    batch, _, height, width = uv.shape
    of_four = uv.view(batch, 2, height // 2, 2, width // 2, 2).sum(dim=(3, 5))
    return y, _chroma((of_four + 512) >> 10).permute(0, 2, 3, 1).contiguous()


def _dot(factors: tuple[int, int, int], r: Tensor, g: Tensor, b: Tensor) -> Tensor:
    return factors[0] * r + factors[1] * g + factors[2] * b


def _chroma(differences: Tensor) -> Tensor:
    """Codes of U and V; pure blue and red of full swing would be 256."""
    return (differences + 128).clamp(0, 255).to(torch.uint8)
