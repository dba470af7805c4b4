"""Heights and widths: HxW in every setting and file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any


def parse_size(value: Any) -> Any:
    """Height and width from 'HxW', one number or a pair; sizes are HxW everywhere.

    >>> parse_size("64x96"), parse_size("32"), parse_size([32, 48])
    ((64, 96), (32, 32), [32, 48])
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value, value
    if isinstance(value, str):
        numbers = value.lower().split("x")
        if len(numbers) <= 2 and all(n.strip().isdigit() and int(n) > 0 for n in numbers):
            return int(numbers[0]), int(numbers[-1])
        raise ValueError(f"'{value}' is not a size: write HEIGHTxWIDTH, for example 64x96")
    return value


def _size() -> Any:
    from pydantic import BeforeValidator, PlainSerializer

    return Annotated[
        tuple[int, int],
        BeforeValidator(parse_size),
        PlainSerializer(lambda hw: f"{hw[0]}x{hw[1]}", return_type=str),
    ]


if TYPE_CHECKING:
    Size = tuple[int, int]
else:

    class Size:
        """Annotation of a setting or section field that is a height and width in pixels."""

        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            return handler.generate_schema(_size())
