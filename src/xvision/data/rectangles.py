"""A rectangle of pixels as a setting: four numbers, top, left, bottom, right."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

_FORM = "TOP,LEFT,BOTTOM,RIGHT in pixels of the stored image, for example 0,0,360,480"


def parse_rect(value: Any) -> Any:
    """Rows top to bottom - 1 and columns left to right - 1, from text or four numbers.

    Raises: ValueError for anything else, and for a rectangle without a pixel.

    >>> parse_rect("0,0,360,480"), parse_rect([8, 0, 16, 4])
    ((0, 0, 360, 480), (8, 0, 16, 4))
    """
    numbers = value.split(",") if isinstance(value, str) else value
    try:
        top, left, bottom, right = (int(n) for n in numbers)
    except (TypeError, ValueError):
        raise ValueError(f"expected {_FORM}; got {value!r}") from None
    if not (0 <= top < bottom and 0 <= left < right):
        raise ValueError(f"expected 0 <= top < bottom and 0 <= left < right ({_FORM}); got {value!r}")
    return top, left, bottom, right


def rect_text(rect: tuple[int, int, int, int]) -> str:
    """As it is written in a recipe and on the command line."""
    return ",".join(map(str, rect))


Rect = Annotated[
    tuple[int, int, int, int],
    BeforeValidator(parse_rect),
    PlainSerializer(rect_text, return_type=str),
]
