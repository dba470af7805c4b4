"""Values from text by the type of their setting: never YAML, where 1e-2 is a string and 12:30 is 750."""

from __future__ import annotations

import types
import typing
from typing import TYPE_CHECKING, Annotated, Any, Literal

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo


def type_of(field: FieldInfo) -> Any:
    """The type of a field with its limits, as it was written."""
    return Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation


def parse_value(text: str, annotation: Any) -> Any:
    """The value of a setting of that type.

    Raises: ValueError (pydantic's ValidationError is one) if the text is no such value.

    >>> parse_value("8", Literal[8, 16]), parse_value("none", float | None), parse_value("1,2", tuple[int, ...])
    (8, None, (1, 2))
    """
    from pydantic import TypeAdapter

    return TypeAdapter(annotation).validate_python(plain_value(text, annotation))


def plain_value(text: str, annotation: Any) -> Any:
    """The text as plain data that pydantic reads as that type; not checked yet."""
    kind, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if kind is Annotated:
        own = any(hasattr(one, "__get_pydantic_core_schema__") for one in inside[1:])  # it reads text itself
        return text if own else plain_value(text, inside[0])
    if kind is Literal:
        return {str(choice): choice for choice in inside}.get(text, text)
    if kind in (typing.Union, types.UnionType):
        if type(None) in inside and text.lower() in ("none", ""):
            return None
        kinds = [one for one in inside if one is not type(None)]
        return plain_value(text, kinds[0]) if len(kinds) == 1 else text
    if kind is tuple:
        items = [item.strip() for item in text.strip("()[] ").split(",") if item.strip()]
        each = inside[:1] * len(items) if inside[-1] is ... else [*inside, *[str] * len(items)]
        return [plain_value(item, one) for item, one in zip(items, each, strict=False)]
    if kind is dict:
        raise ValueError("cannot be set here; write it into a recipe file")
    return text
