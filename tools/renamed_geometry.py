"""`centre_map` as it was called before; `renamed.json` points to it."""

from __future__ import annotations

from xvision.data.framing import Framing, Map


def centre_map(source: tuple[int, int], target: tuple[int, int], fit: float = 1.0) -> Map:
    """What is `Framing("crop").map` today."""
    return Framing("crop", fit).map(source, target)
