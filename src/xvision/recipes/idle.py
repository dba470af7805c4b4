"""Settings that change nothing in the recipe in which they are set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xvision.config.parts import Part
from xvision.recipes.schema import Recipe


def _no_aspp(recipe: Recipe) -> bool:
    return recipe.net.decoder.settings.get("aspp") is False


IDLE: tuple[tuple[str, Callable[[Recipe], bool], str], ...] = (
    (
        "train.balancing",
        lambda r: len(r.task) == 1 and r.train.balancing.name != "fixed",
        "there is one task",
    ),
    ("train.minutes", lambda r: not r.train.epochs, "train.epochs=0 trains nothing"),
    ("net.shared_decoder", lambda r: len(r.task) - len(r.net.heads) < 2, "one task uses it"),
    ("net.decoder.dilations", _no_aspp, "the decoder has no ASPP"),
    ("net.decoder.dropout", _no_aspp, "the decoder has no ASPP"),
    ("data.crop_ratio", lambda r: r.data.framing not in (None, "crop"), "only data.framing=crop crops"),
    ("data.sampling", lambda r: len(r.data.dataset) == 1, "there is one data set"),
    ("data.flow", lambda r: "flow" not in r.net.inputs, "the network takes no flow"),
)
"""Key of a setting, when it is without effect, and why."""


def idle_settings(recipe: Recipe) -> list[str]:
    """One line for each setting that is not as by default and changes nothing."""
    lines = []
    for key, is_idle, why in IDLE:
        value, default = _value_and_default(recipe, key)
        if value != default and is_idle(recipe):
            lines.append(f"{key}={_text(value)} changes nothing: {why}")
    return lines


def _value_and_default(recipe: Recipe, key: str) -> tuple[Any, Any]:
    """Of a setting of a section or part; nothing twice if the part has no such setting."""
    *path, last = key.split(".")
    owner: Any = recipe
    for name in path:
        owner = getattr(owner, name)
    if not isinstance(owner, Part):
        return getattr(owner, last), type(owner).model_fields[last].get_default()
    if last not in owner.settings:
        return None, None
    return owner.value(last), owner.registry.builder(owner.name).schema.model_fields[last].get_default()


def _text(value: Any) -> str:
    if isinstance(value, Part):
        return value.name
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
