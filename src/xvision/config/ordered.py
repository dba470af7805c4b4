"""Parts in an order that counts: steps that are done one after the other, such as the rungs of a quantization.

Text is the short form, ``mse,adaround:steps=300``. Stored is a list, ``[mse, {adaround: {steps: 300}}]``, so that
another order is another recipe; ``quant.adaround.steps`` is a key like any other. The file of the registry says
``Rungs = Annotated[OrderedParts | str, ordered_parts_of(rung)]``; a builder takes ``rungs: Rungs = "mse,weights"``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from xvision.config.messages import nearest
from xvision.config.parts import Part, Registry, part_of, settings_of_text


@dataclass(frozen=True)
class OrderedParts:
    """One or more parts of a registry in their order, each name once."""

    registry: Registry = field(repr=False, compare=False)
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        names, kind = self.names, self.registry.kind
        if not names:
            raise ValueError(
                f"expected at least one {kind}, got none; {nearest('', self.registry.builders())}"
            )
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the {kind} '{twice[0]}' is named twice; name each once")

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, name: str) -> Part:
        return next(part for part in self.parts if part.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(part.name for part in self.parts)

    def replace(self, name: str, part: Part) -> OrderedParts:
        """The same parts with another one in the place of `name`."""
        return OrderedParts(self.registry, tuple(part if p.name == name else p for p in self.parts))

    def to_yaml(self) -> list[str | dict[str, Any]]:
        """A list of bare names, or ``{name: settings}``."""
        return [part.to_yaml() for part in self.parts]


class ordered_parts_of:
    """Annotation of a setting that holds parts of one registry in their order."""

    def __init__(self, registry: Registry) -> None:
        assert isinstance(registry, Registry), registry
        self.registry = registry
        self._one = part_of(registry)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(OrderedParts.to_yaml),
        )

    def parse(self, value: Any) -> OrderedParts:
        """From `OrderedParts`, 'name,name:key=value', or a list of parts, names and ``{name: settings}``.

        Raises: ValueError listing all parts that are wrong.
        """
        if isinstance(value, OrderedParts):
            return value
        if isinstance(value, str):
            value = [text for text in value.split(",") if text]
        elif isinstance(value, Part | Mapping):
            value = [value]
        elif not isinstance(value, list | tuple):
            raise ValueError(f"expected names of {self.registry.kind}s, joined by commas, got {value!r}")
        parts: list[Part] = []
        problems: list[str] = []
        for one in value:
            try:
                parts.append(self._short_form(one) if isinstance(one, str) else self._one.parse(one))
            except ValueError as e:
                problems.append(str(e))
        if problems:
            raise ValueError("; ".join(problems))
        return OrderedParts(self.registry, tuple(parts))

    def _short_form(self, text: str) -> Part:
        name, *given = text.split(":")
        return self.registry.part(
            name, settings_of_text(self.registry, name, given, f"'{text}': expected name")
        )
