"""The `export` section of a recipe."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from xvision.config.parts import Parts, parts_of
from xvision.export.formats import export_format


class Export(BaseModel):
    """The exported files and what they give."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    formats: Annotated[Parts, parts_of(export_format)] = Parts(export_format, (export_format.onnx(),))
    """Kinds of files that are written, joined by '+'; each is verified and measured."""
    argmax: bool = False
    """Outputs that score classes per pixel are given as ids: uint8 (B, 1, H, W) in place of float scores (B, C, H, W).

    One byte per pixel leaves the device in place of 4 C. Metrics of such a file differ a little where labels are larger
    than its output, as a rule downwards: ids are enlarged by nearest neighbour, scores bilinearly before the argmax.
    """
