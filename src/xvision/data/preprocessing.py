"""How a file says what was done to an image before the network saw it: the steps in order, each told by its owner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xvision.data import cache, flow, framing, geometry, images
from xvision.data.framing import Framing
from xvision.data.settings import Data
from xvision.fields import FIELDS

CROP = "rows TOP to BOTTOM - 1 and columns LEFT to RIGHT - 1 of the image as stored"


def preprocessing(data: Data, framed: Framing, fields: Sequence[str]) -> dict[str, Any]:
    """From stored images to `fields` of the network's size, and from its maps back to the image."""
    steps: list[dict[str, Any]] = []
    if "flow" in fields:
        steps.append({"operation": "flow", **flow.described(data.flow)})
    if data.crop_rect is not None:
        steps.append({"operation": "crop", "rect_px": list(data.crop_rect), "formula": CROP})
    steps.append({"operation": "shrink", **cache.shrinking()})
    steps.append(
        {"operation": "frame", **framed.described(), "fill": {field: FIELDS[field].fill for field in fields}}
    )
    steps.append({"operation": "encode", "formula": "the coding of each of inputs"})
    return {
        "decoding": images.DECODING,
        **({} if list(fields) == ["image"] else {"frame_gap": data.frame_gap}),
        "size_px": list(data.size),
        "coordinates": framing.COORDINATES,
        "steps": steps,
        "resampling": geometry.RESAMPLING,
        "to_image": framing.BACK,
    }
