"""Parts with weights: the terms of a sum, such as the losses of a task.

Text is the short form, ``cross_entropy,focal:0.5:gamma=3``: names, weights, settings. Stored is a mapping,
``{focal: {weight: 0.5, gamma: 2.0}}``, so that ``task.losses.focal.weight`` and ``task.losses.focal.gamma`` are keys
like any other. The file of the registry says ``Losses = Annotated[WeightedParts | str, weighted_parts_of(loss)]``; a
builder takes ``losses: Losses = "l1,l2:0.5"``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xvision.config.parts import Part, Registry, Several, settings_of_text, several_of


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


class WeightedParts(Several[WeightedPart]):
    """One or more parts of a registry, each name once, each with a weight."""

    if_twice = "add up the weights"

    def to_yaml(self) -> dict[str, Any]:
        """A mapping from each name to its weight and settings."""
        return {term.name: {"weight": term.weight, **term.part.settings} for term in self.parts}


class weighted_parts_of(several_of):
    """Annotation of a setting that holds weighted parts of one registry; `aliases` are other names in short forms."""

    def __init__(self, registry: Registry, aliases: Mapping[str, str] | None = None) -> None:
        super().__init__(registry)
        self.aliases = aliases or {}

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
