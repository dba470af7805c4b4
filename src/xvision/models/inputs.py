"""Inputs: what a network takes, from the fields of a sample to the uint8 planes in their order.

A network has one stream or two: the image, and perhaps what tells motion, the previous frame or optical flow with its
confidence. Each stream has a stem of its own (see `xvision.models.streams`). Every plane is uint8 and enters the
network as (code - 128) / 64, so planes of a stream are joined without loss in int8; `FIELDS` says how values of a
field become codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from xvision.fields import FIELDS, Code
from xvision.models.pixels import YUV_FORMATS, Plane, YuvRange, coding_of, encode, example, planes_of


@dataclass(frozen=True)
class Stream:
    """Planes that enter the network through one stem."""

    name: str  # image | previous | flow
    format: str  # a pixel format, or which planes of flow there are
    yuv_range: YuvRange = "studio"

    @property
    def planes(self) -> tuple[Plane, ...]:
        return planes_of(self.format, self.name)

    @property
    def channels(self) -> int:
        """Channels of the tensor that the first convolution sees."""
        return sum(plane.channels for plane in self.planes)

    @property
    def is_camera(self) -> bool:
        """Whether it is a picture, for which weights of pictures are right."""
        return self.name != "flow"

    def described(self) -> dict[str, dict[str, Any]]:
        """What a file says of each plane, by its name: how values become codes, and which way they lie."""
        found: dict[str, dict[str, Any]] = {}
        camera = coding_of(self.format, self.yuv_range) if self.is_camera else {}
        for plane, own in zip(
            self.planes, (planes_of(self.format) if self.is_camera else self.planes), strict=True
        ):
            field = self.name if self.is_camera else plane.name
            coding = camera[own.name] if self.is_camera else field_coding(field)
            found[plane.name] = {
                "layout": "BHWC" if plane.interleaved else "BCHW",
                "range": [0, 255],
                "of": field,
                **({"pixels": self.format} if self.is_camera else {}),
                **({"yuv_range": self.yuv_range} if self.format in YUV_FORMATS else {}),
                "coding": coding,
            }
        return found

    def encode(self, batch: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """The planes of a batch of fields."""
        if self.is_camera:
            return encode(batch[self.name], self.format, self.yuv_range)
        return tuple(codes(batch[plane.name], plane.name) for plane in self.planes)


@dataclass(frozen=True)
class Inputs:
    """Everything a network takes.

    >>> inputs = Inputs("nv12", "image+flow+confidence")
    >>> inputs.fields
    ('image', 'flow', 'confidence')
    >>> [stream.name for stream in inputs.streams], [plane.name for plane in inputs.planes]
    (['image', 'flow'], ['y', 'uv', 'flow', 'confidence'])
    """

    format: str = "rgb"
    names: str = "image"
    """As the setting `net.inputs` says it."""
    yuv_range: YuvRange = "studio"

    def __post_init__(self) -> None:
        if self.yuv_range != "studio" and self.format not in YUV_FORMATS:
            raise ValueError(
                f"net.yuv_range={self.yuv_range}: expected net.pixels={' or '.join(YUV_FORMATS)}, got {self.format}; "
                "leave it out, or set net.pixels"
            )

    @property
    def fields(self) -> tuple[str, ...]:
        """Fields of a sample that it is made from."""
        return tuple(self.names.split("+"))

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The image's, then what tells motion."""
        image, *motion = self.fields
        streams = [Stream(image, self.format, self.yuv_range)]
        if motion:
            streams.append(
                Stream("flow", "+".join(motion))
                if "flow" in motion
                else Stream(motion[0], self.format, self.yuv_range)
            )
        return tuple(streams)

    @property
    def planes(self) -> tuple[Plane, ...]:
        """The tensors that the network takes, in order."""
        return tuple(plane for stream in self.streams for plane in stream.planes)

    @property
    def flow(self) -> bool:
        """Whether the network sees optical flow."""
        return "flow" in self.fields

    def example(
        self, size: tuple[int, int], batch: int = 1, device: str | torch.device = "cpu"
    ) -> tuple[Tensor, ...]:
        """Planes of zeros of the network (mid-gray, no motion) for an image of `size`, to trace, count or export."""
        return example(self.planes, size, batch, device)

    def encode(self, batch: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """The planes of a batch of fields, on its device.

        Shapes: image, previous (B, 3, H, W) uint8 RGB; flow (B, 2, H, W) float in px; confidence (B, H, W) float 0-1;
        to uint8 in the order of `planes`, each of its own shape, as a rule (B, C, H, W).

        Raises: ValueError for nv12 of an odd size.
        """
        return tuple(plane for stream in self.streams for plane in stream.encode(batch))


def field_coding(field: str) -> dict[str, Any]:
    """How `codes` makes the codes of a field that is no picture, for files."""
    what = FIELDS[field]
    assert what.code is not None, f"{field} is no input"
    return {
        "channels": ["x", "y"][: what.channels] or [field],
        "unit": what.unit,
        "steps": what.code.steps,
        "zero": what.code.zero,
        "formula": "code = round(value * steps) + zero, half to even, saturated to 0 and 255",
    }


def codes(values: Tensor, field: str) -> Tensor:
    """The uint8 codes of a field's values by its row of `FIELDS`.

    Shapes: (B, C, H, W) or, for one channel, (B, H, W); to uint8 (B, C, H, W).
    """
    code = FIELDS[field].code
    assert code is not None, f"{field} is no input"
    values = values if values.ndim == 4 else values.unsqueeze(1)
    if code == Code():
        return values
    return (values.float() * code.steps).round().add(code.zero).clamp(0, 255).to(torch.uint8)
