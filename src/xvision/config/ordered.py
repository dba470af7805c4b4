"""Parts in an order that counts: steps that are done one after the other, such as the rungs of a quantization.

Text is the short form, ``mse,adaround:steps=300``. Stored is a list, ``[mse, {adaround: {steps: 300}}]``, so that
another order is another recipe; ``quant.adaround.steps`` is a key like any other. The file of the registry says
``Rungs = Annotated[OrderedParts | str, ordered_parts_of(rung)]``; a builder takes ``rungs: Rungs = "mse,weights"``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xvision.config.parts import Part, Several, settings_of_text, several_of


class OrderedParts(Several[Part]):
    """One or more parts of a registry in their order, each name once."""

    def to_yaml(self) -> list[str | dict[str, Any]]:
        """A list of bare names, or ``{name: settings}``."""
        return [part.to_yaml() for part in self.parts]


class ordered_parts_of(several_of):
    """Annotation of a setting that holds parts of one registry in their order."""

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
