"""The table of what a sample can hold.

A sample is a dict of numpy arrays; each key is a row of `FIELDS`. Geometry is one matrix per sample, applied
once to every field by its rule (see `xvision.data.geometry`), so a new kind of label is one new row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Warp = Literal["none", "linear", "nearest", "points", "boxes"]


@dataclass(frozen=True)
class Code:
    """How a value becomes the uint8 code that a network takes: saturate(round(value * steps) + zero), half to even."""

    steps: int = 1  # codes per unit, a power of two
    zero: int = 0  # the code of 0


@dataclass(frozen=True)
class Field:
    """How one kind of data is stored, warped and filled, and how it is coded where a network takes it as input.

    `zoom` and `hflip` say what geometry does to the *values*: zoom by s multiplies flow and divides metric
    depth; hflip negates flow x and swaps left and right joints.
    """

    dims: str  # letters of the stored array: H W height width, C channels, N objects, J joints; "" a scalar
    dtype: str
    unit: str
    warp: Warp
    fill: float = 0  # value of pixels that come from outside
    zoom: Literal["none", "multiply", "divide"] = "none"
    hflip: Literal["none", "negate_x", "swap_joints"] = "none"
    code: Code | None = None
    channels: int = 0  # length of C

    def row(self, num_joints: int) -> tuple[int, ...]:
        """The shape of one object of a field of objects (N ...).

        >>> FIELDS["boxes"].row(0), FIELDS["keypoints"].row(17)
        ((5,), (17, 3))
        """
        return tuple({"J": num_joints, "C": self.channels}[letter] for letter in self.dims[1:])


UNKNOWN = 255  # in label maps

FIELDS: dict[str, Field] = {
    "image": Field("HWC", "uint8", "RGB 0-255", "linear", fill=128, code=Code(), channels=3),
    "previous": Field("HWC", "uint8", "RGB 0-255", "linear", fill=128, code=Code(), channels=3),
    "flow": Field(
        "HWC",
        "float32",
        "px from t-1 to t, (x, y)",
        "linear",
        zoom="multiply",
        hflip="negate_x",
        code=Code(steps=8, zero=128),  # -16 to 15.875 px, as the network sees it -2 to 1.984
        channels=2,
    ),
    "confidence": Field("HW", "float32", "0-1", "linear", code=Code(steps=128, zero=128)),
    "class": Field("", "int64", "class id", "none"),
    "segmentation": Field("HW", "uint8", "class id, 255 unknown", "nearest", fill=UNKNOWN),
    "depth": Field("HW", "float32", "m, 0 unknown", "nearest", zoom="divide"),
    "motion": Field("HW", "uint8", "0 static, 1 moving, 255 unknown", "nearest", fill=UNKNOWN),
    "boxes": Field("NC", "float32", "px (x0, y0, x1, y1), class id", "boxes", channels=5),
    "keypoints": Field(
        "NJC", "float32", "px (x, y), visibility 0-2", "points", hflip="swap_joints", channels=3
    ),
}
