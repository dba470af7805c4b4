"""Text to values by type: whatever a setting's default is, its text reads back to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, BeforeValidator, Field
from pydantic.fields import FieldInfo

from xvision.config.ordered import OrderedParts
from xvision.config.parts import Part, Parts
from xvision.config.sizes import Size
from xvision.config.values import parse_value, type_of
from xvision.config.weighted import WeightedParts
from xvision.recipes.describe import _sections, all_registries


def text_of(value: Any, kind: Any = None) -> str:
    """As a person would write it on the command line."""
    if kind is Size and isinstance(value, tuple):
        return "x".join(map(str, value))
    if isinstance(value, tuple | list):
        return ",".join(map(text_of, value))
    if isinstance(value, WeightedParts):
        return ",".join(f"{term.name}:{term.weight:g}" for term in value)
    if isinstance(value, Part):
        return value.name
    if isinstance(value, OrderedParts):
        return ",".join(value.names)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def settings() -> Iterator[tuple[str, FieldInfo]]:
    for kind, registry in all_registries().items():
        for name, builder in registry.builders().items():
            for key, setting in builder.schema.model_fields.items():
                yield f"{kind} {name}.{key}", setting
    for section, model in _sections():
        for key, setting in model.model_fields.items():
            yield f"{section}.{key}", setting


def test_the_text_of_every_default_is_read_back() -> None:
    wrong, count = [], 0
    for where, setting in settings():
        default = ... if setting.is_required() else setting.get_default()
        if isinstance(default, dict | Part | Parts | BaseModel) or default is ...:
            continue
        text = text_of(default, setting.annotation)
        parsed = parse_value(text, type_of(setting))
        again = parse_value(text_of(parsed, setting.annotation), type_of(setting))
        count += 1
        if again != parsed or not _same(parsed, default):
            wrong.append(f"{where}: {default!r} -> {text!r} -> {parsed!r} -> {again!r}")
    assert not wrong, "\n".join(wrong)
    assert count > 150


def _same(parsed: Any, default: Any) -> bool:
    """Defaults in the source may be the text itself, such as a size or a list of losses."""
    return isinstance(default, str) != isinstance(parsed, str) or parsed == default


def test_every_choice_is_read_from_its_text() -> None:
    choices = [
        (where, s, choice) for where, s in settings() for choice in getattr(s.annotation, "__args__", ())
    ]
    literals = [(w, s, c) for w, s, c in choices if getattr(s.annotation, "__origin__", None) is Literal]
    wrong = [w for w, s, c in literals if parse_value(str(c), s.annotation) != c]
    assert not wrong, wrong
    assert any(isinstance(choice, int) for _, _, choice in literals)


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("1e-2", float, 0.01),
        ("TRUE", bool, True),
        ("none", int | None, None),
        ("", str | None, None),
        ("3", int | None, 3),
        ("3", str, "3"),
        ("16", Literal[8, 16], 16),
        ("16", Literal[8, 16] | None, 16),
        ("true", Literal["true", "false"], "true"),
        ("8,16", tuple[Literal[8, 16], ...], (8, 16)),
        ("(1, 2)", tuple[int, ...], (1, 2)),
        ("", tuple[int, ...], ()),
        ("traffic light, car", tuple[str, ...], ("traffic light", "car")),
        ("1,a", tuple[int, str], (1, "a")),
        ("1,2", Annotated[tuple[int, ...], BeforeValidator(lambda text: text.split(","))], (1, 2)),
        ("2", Annotated[Literal[1, 2], Field()], 2),
    ],
)
def test_text_is_read_by_its_type(text: str, annotation: Any, value: object) -> None:
    assert parse_value(text, annotation) == value


@pytest.mark.parametrize(
    ("text", "annotation", "message"),
    [
        ("4", Literal[8, 16], "should be 8 or 16"),
        ("1,2,3", tuple[int, int], "at most 2 items"),
        ("1", tuple[int, int], "Field required"),
        ("x", int | None, "valid integer"),
        ("a:1", dict[str, int], "cannot be set here; write it into a recipe file"),
    ],
)
def test_wrong_text_is_told(text: str, annotation: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_value(text, annotation)
