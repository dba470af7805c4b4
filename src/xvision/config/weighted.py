"""Parts with weights: the terms of a sum, such as the losses of a task.

Text is the short form, ``cross_entropy,focal:0.5:gamma=3``: names, weights, settings. Stored is a mapping,
``{focal: {weight: 0.5, gamma: 2.0}}``, so that ``task.losses.focal.weight`` and ``task.losses.focal.gamma`` are keys
like any other. The file of the registry says ``Losses = Annotated[WeightedParts | str, weighted_parts_of(loss)]``; a
builder takes ``losses: Losses = "l1,l2:0.5"``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from xvision.config.messages import nearest
from xvision.config.parts import Part, Registry, part_of, settings_of_text


@dataclass(frozen=True)
class WeightedPart:
    """A part and the factor that it has in a sum."""

    part: Part
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise ValueError(f"{self.part.name}: expected a weight > 0, got {self.weight:g}")

    @property
    def name(self) -> str:
        return self.part.name

    def with_settings(self, **changes: Any) -> WeightedPart:
        weight = changes.pop("weight", self.weight)
        return WeightedPart(self.part.with_settings(**changes), weight)


@dataclass(frozen=True)
class WeightedParts:
    """One or more parts of a registry, each name once, each with a weight."""

    registry: Registry = field(repr=False, compare=False)
    terms: tuple[WeightedPart, ...]

    def __post_init__(self) -> None:
        names = [term.name for term in self.terms]
        kind = self.registry.kind
        if not names:
            raise ValueError(
                f"expected at least one {kind}, got none; {nearest('', self.registry.builders())}"
            )
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the {kind} '{twice[0]}' is named twice; add up the weights")

    def __iter__(self) -> Iterator[WeightedPart]:
        return iter(self.terms)

    def __len__(self) -> int:
        return len(self.terms)

    def __getitem__(self, name: str) -> WeightedPart:
        return next(term for term in self.terms if term.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(term.name for term in self.terms)

    def replace(self, name: str, term: WeightedPart) -> WeightedParts:
        """The same terms with another one in the place of `name`."""
        return WeightedParts(self.registry, tuple(term if t.name == name else t for t in self.terms))

    def to_yaml(self) -> dict[str, Any]:
        """A mapping from each name to its weight and settings."""
        return {term.name: {"weight": term.weight, **term.part.settings} for term in self.terms}


class weighted_parts_of:
    """Annotation of a setting that holds weighted parts of one registry; `aliases` are other names in short forms."""

    def __init__(self, registry: Registry, aliases: Mapping[str, str] | None = None) -> None:
        assert isinstance(registry, Registry), registry
        self.registry = registry
        self.aliases = aliases or {}
        self._one = part_of(registry)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(WeightedParts.to_yaml),
        )

    def parse(self, value: Any) -> WeightedParts:
        """From `WeightedParts`, parts, 'name,name:weight:key=value', or ``{name: {weight: number, setting: value}}``.

        Raises: ValueError listing all terms that are wrong.
        """
        if isinstance(value, WeightedParts):
            return value
        if isinstance(value, str):
            value = [text for text in value.split(",") if text]
        elif isinstance(value, Part | WeightedPart):
            value = [value]
        terms: list[WeightedPart] = []
        problems: list[str] = []
        for one in value.items() if isinstance(value, Mapping) else value:
            try:
                terms.append(self._term(one))
            except ValueError as e:
                problems.append(str(e))
        if problems:
            raise ValueError("; ".join(problems))
        return WeightedParts(self.registry, tuple(terms))

    def _term(self, value: Any) -> WeightedPart:
        if isinstance(value, WeightedPart):
            return WeightedPart(self._one.parse(value.part), value.weight)
        if isinstance(value, str):
            return self._short_form(value)
        if isinstance(value, tuple) and len(value) == 2:
            name, given = str(value[0]), value[1]
            settings = dict(given) if isinstance(given, Mapping) else {"weight": given}
            weight = settings.pop("weight", 1.0)
            return WeightedPart(self.registry.part(name, settings), _number(name, weight))
        return WeightedPart(self._one.parse(value))

    def _short_form(self, text: str) -> WeightedPart:
        name, *rest = text.split(":")
        name, *own = self.aliases.get(name, name).split(":")
        weight = _number(name, rest.pop(0)) if rest and "=" not in rest[0] else 1.0
        form = f"'{text}': expected name:weight"
        settings = settings_of_text(self.registry, name, (*own, *rest), form)
        return WeightedPart(self.registry.part(name, settings), weight)


def _number(name: str, weight: Any) -> float:
    try:
        return float(weight)
    except (TypeError, ValueError):
        raise ValueError(f"{name}: expected a weight > 0, got {weight!r}") from None
