"""The `export` section of a recipe."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Export(BaseModel):
    """What the exported file gives."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    argmax: bool = False
    """Outputs that score classes per pixel are given as ids: uint8 (B, 1, H, W) in place of float scores (B, C, H, W).

    One byte per pixel leaves the device in place of 4 C. Metrics of such a file differ a little where labels are larger
    than its output, as a rule downwards: ids are enlarged by nearest neighbour, scores bilinearly before the argmax.
    """
