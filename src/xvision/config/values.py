"""Values from text by the type of their setting: never YAML, where 1e-2 is a string and 12:30 is 750."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable
from typing import Annotated, Any, Literal


def parse_value(text: str, annotation: Any, metadata: Iterable[Any] = ()) -> Any:
    """The value of a setting of type ``Annotated[annotation, *metadata]``.

    Raises: ValueError (pydantic's ValidationError is one) if the text is no such value.

    >>> parse_value("8", Literal[8, 16]), parse_value("none", float | None), parse_value("1,2", tuple[int, ...])
    (8, None, (1, 2))
    """
    from pydantic import TypeAdapter

    full: Any = Annotated[annotation, *metadata] if metadata else annotation
    return TypeAdapter(full).validate_python(_plain(text, full))


def _plain(text: str, annotation: Any) -> Any:
    """Text as plain data that pydantic reads as `annotation`."""
    kind, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if kind is Annotated:
        own = any(hasattr(one, "__get_pydantic_core_schema__") for one in inside[1:])  # it reads text itself
        return text if own else _plain(text, inside[0])
    if kind is Literal:
        return {str(choice): choice for choice in inside}.get(text, text)
    if kind in (typing.Union, types.UnionType):
        if type(None) in inside and text.lower() in ("none", ""):
            return None
        kinds = [one for one in inside if one is not type(None)]
        return _plain(text, kinds[0]) if len(kinds) == 1 else text
    if kind is tuple:
        items = [item.strip() for item in text.strip("()[] ").split(",") if item.strip()]
        each = inside[:1] * len(items) if inside[-1] is ... else [*inside, *[str] * len(items)]
        return [_plain(item, one) for item, one in zip(items, each, strict=False)]
    if kind is dict:
        raise ValueError("cannot be set here; write it into a recipe file")
    return text
