"""The `export` section of a recipe."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Export(BaseModel):
    """What the exported file gives."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    argmax: bool = False
    """Outputs that score classes per pixel are given as ids: uint8 (B, 1, H, W) in place of float scores (B, C, H, W).

    The file then moves C times 4 bytes less per pixel. Metrics of such a file are slightly lower where labels are
    larger than its output: ids are enlarged to them by nearest neighbour, scores bilinearly before the argmax.
    """
