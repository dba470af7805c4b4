"""Names for what a network returns, however it is nested."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def named(outputs: Any, name: str = "") -> dict[str, Any]:
    """What a network returns as a flat dict, without what is None.

    Values of a dict or named tuple are called by their keys, those of a tuple or list out0, out1, …; inside of others
    the names are joined by a dot.

    >>> named([1, None, 2])
    {'out0': 1, 'out2': 2}
    >>> named({"maps": [1, 2], "class": 3, "aux": None})
    {'maps.0': 1, 'maps.1': 2, 'class': 3}
    """
    if outputs is None:
        return {}
    if isinstance(outputs, Mapping):
        items = {str(key): value for key, value in outputs.items()}
    elif isinstance(outputs, tuple) and hasattr(outputs, "_fields"):
        items = dict(zip(outputs._fields, outputs, strict=True))
    elif isinstance(outputs, tuple | list):
        items = {str(i) if name else f"out{i}": value for i, value in enumerate(outputs)}
    else:
        return {name or "out0": outputs}
    found: dict[str, Any] = {}
    for key, value in items.items():
        found |= named(value, f"{name}.{key}" if name else key)
    return found
