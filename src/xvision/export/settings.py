"""The `export` section of a recipe."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from xvision.config.parts import Parts, parts_of
from xvision.export.formats import export_format

OPSET: Final = 21
"""Of ONNX: the first with tensors of 16 bits."""
SESSION: Final = {"session.x64quantprecision": "1"}
"""Of ONNX Runtime: without VNNI, x86 adds pairs of products in 16 bits and saturates; this asks for the exact way."""
RUNTIMES: Final = {17: "1.15.0", 18: "1.15.0", 21: "1.18.0"}
"""The oldest ONNX Runtime that files of each opset are tried with: older ones do not read them, or cannot be had."""


class Export(BaseModel):
    """The exported files and what they give."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Annotated[Parts, parts_of(export_format)] = Parts(export_format, (export_format.onnx(),))
    """Kinds of files that are written, joined by '+' (onnx+onnx_float); each is verified and measured."""
    batch: Literal["free"] | Annotated[int, Field(ge=1)] = "free"
    """Images that a file takes at once: any number, or this one, for compilers that want every size fixed."""
    opset: Literal[17, 18, 21] = OPSET
    """Of ONNX. 17 and 18 are read by runtimes from 2022 on, but know no tensors of 16 bits: set quant.head_bits=8."""
    argmax: bool = False
    """Outputs that score classes per pixel are given as ids: uint8 (B, 1, H, W) in place of float scores (B, C, H, W).

    One byte per pixel leaves the device in place of 4 C. Metrics of such a file differ a little where labels are larger
    than its output, as a rule downwards: ids are enlarged by nearest neighbour, scores bilinearly before the argmax.
    """
