"""Changes of a recipe by ``key=value``, as a command line gives them.

Choices of parts (``data=cifar10``, ``net.backbone=timm:regnetx_004``) are applied first, then keys, whatever the order;
values are parsed by the type of their field. A setting may be called by a shorter key that leaves out names in between,
as long as one setting alone is meant: ``data.root`` is ``data.dataset.camvid.root``, ``task.losses`` is
``task.segmentation.losses``.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from xvision.config.messages import explain, nearest
from xvision.config.parts import Part, Parts, Several, part_of, parts_of, several_of
from xvision.config.values import parse_value, type_of
from xvision.config.weighted import WeightedPart
from xvision.recipes.schema import Recipe

MOST_NAMED = 4


@dataclass(frozen=True)
class _Slot:
    """Where a dotted key points to: an attribute of a section, or a setting of a part."""

    path: tuple[str, ...]  # names from the recipe down to the section or part
    key: str  # field of that section, or setting of that part
    type: Any


def override(recipe: Recipe, texts: Iterable[str]) -> Recipe:
    """The recipe with ``key=value`` texts applied; ValueError lists every problem of all texts at once.

    Warns of a setting named twice: the later one counts.
    """
    problems: list[str] = []
    wanted = _read(texts, problems)
    choices = [key for key in wanted if _is_choice(recipe, key)]
    failed: list[str] = []
    for key in choices:
        try:
            recipe = _choose(recipe, key, wanted[key])
        except ValueError as e:
            problems += _lines(key, e)
            failed.append(key)
    keys = [key for key in wanted if key not in choices and not _of_a_failed_choice(recipe, key, failed)]
    changed: dict[tuple[str, ...], str] = {}
    for key in sorted(keys, key=lambda key: not _holds_parts(recipe, key)):
        try:
            slot = _find(recipe, key)
            where = (*slot.path, slot.key)
            if where in changed:
                _say_twice(
                    ".".join(where), f"{changed[where]}={wanted[changed[where]]}", f"{key}={wanted[key]}"
                )
            changed[where] = key
            recipe = _put(recipe, where, parse_value(wanted[key], slot.type))
        except ValueError as e:
            problems += _lines(key, e)
    if problems:
        raise ValueError("\n".join(problems))
    return recipe


def _read(texts: Iterable[str], problems: list[str]) -> dict[str, str]:
    """Keys and values, in the order in which each key was named last."""
    wanted: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            problems.append(f"'{text}': expected key=value, for example train.epochs=3")
            continue
        if key in wanted:
            _say_twice(key, f"{key}={wanted.pop(key)}", text)
        wanted[key] = value
    return wanted


def _say_twice(where: str, before: str, after: str) -> None:
    warnings.warn(f"{where}: set twice; {after} counts, {before} does not", stacklevel=3)


def _lines(key: str, error: ValueError) -> list[str]:
    return [f"{key}: {line}" for line in (explain(error) if isinstance(error, ValidationError) else [error])]


def _of_a_failed_choice(recipe: Recipe, key: str, failed: Iterable[str]) -> bool:
    """Whether a key is none of the recipe's, but one of a part that a choice beside it may have meant."""
    if key.split(".")[0] not in {choice.split(".")[0] for choice in failed}:
        return False
    return key not in _full_keys(recipe) and bool(_of_another_part(recipe, key))


def _child(node: Any, name: str) -> Any:
    """What a name below a section, or below parts, means; None if nothing."""
    if isinstance(node, BaseModel):
        return getattr(node, name) if name in type(node).model_fields else None
    if isinstance(node, Several):
        return next((part for part in node if part.name == name), None)
    if isinstance(node, WeightedPart):
        return _child(node.part, name)
    if isinstance(node, Part):
        return node.value(name) if name in node.settings else None
    return node.get(name) if isinstance(node, Mapping) else None


def _is_choice(recipe: Recipe, key: str) -> bool:
    """True for keys that name a part, several parts or a whole section."""
    node: Any = recipe
    *path, last = key.split(".")
    for name in path:
        node = _child(node, name)
    if isinstance(node, Mapping):  # of parts by the names of outputs: a key may be new
        return True
    return not isinstance(node, Parts) and isinstance(_child(node, last), Part | Parts | BaseModel)


def _choose(recipe: Recipe, key: str, value: str) -> Recipe:
    *path, last = key.split(".")
    owner: Any = recipe
    for name in path:
        owner = _child(owner, name)
    node = _child(owner, last)
    if isinstance(node, BaseModel):
        if not hasattr(node, "choose"):
            raise ValueError(f"is a section; set one of its keys: {', '.join(type(node).model_fields)}")
        chosen = node.choose(value)
    elif isinstance(node, Parts):
        chosen = parts_of(node.registry).parse(value)
    elif isinstance(node, Part):
        chosen = part_of(node.registry).parse(value)
    else:  # a new entry of a mapping; the field's type says of what
        chosen = TypeAdapter(_annotation(recipe, path)).validate_python({last: value})[last]
    changed: Recipe = _put(recipe, (*path, last), chosen)
    return changed


def _annotation(recipe: Recipe, path: Sequence[str]) -> Any:
    owner: Any = recipe
    for name in path[:-1]:
        owner = _child(owner, name)
    return type(owner).model_fields[path[-1]].annotation


def _put(node: Any, path: tuple[str, ...], value: Any) -> Any:
    """A copy of a frozen tree with one leaf replaced."""
    if not path:
        return value
    first, rest = path[0], path[1:]
    inner = _put(_child(node, first), rest, value)
    if isinstance(node, Part | WeightedPart):
        return node.with_settings(**{first: inner})
    if isinstance(node, Several):
        return node.replace(first, inner)
    if isinstance(node, Mapping):
        return {**node, first: inner}
    return node.model_copy(update={first: inner})


def _slots(node: Any, path: tuple[str, ...] = ()) -> Iterator[_Slot]:
    """Every key below a section, parts included."""
    if isinstance(node, WeightedPart):
        yield _Slot(path, "weight", float)
        node = node.part
    if isinstance(node, Part):
        for key, setting in node.registry.builder(node.name).schema.model_fields.items():
            yield _Slot(path, key, type_of(setting))
            if isinstance(value := node.value(key), Several):
                yield from _slots(value, (*path, key))
        return
    if isinstance(node, Several):
        for part in node:
            yield from _slots(part, (*path, part.name))
        return
    for name, info in type(node).model_fields.items():
        value = getattr(node, name)
        if isinstance(value, Part | Parts | BaseModel):
            yield from _slots(value, (*path, name))
        elif isinstance(value, Mapping) and value and all(isinstance(v, Part) for v in value.values()):
            for key, part in value.items():
                yield from _slots(part, (*path, name, key))
        else:
            yield _Slot(path, name, type_of(info))


def _full_keys(recipe: Recipe) -> dict[str, _Slot]:
    return {".".join((*slot.path, slot.key)): slot for slot in _slots(recipe)}


def _holds_parts(recipe: Recipe, key: str) -> bool:
    """True for keys of settings that hold parts in their turn: what is below them is set later."""
    try:
        slot = _find(recipe, key)
    except ValueError:
        return False
    return any(isinstance(one, several_of) for one in get_args(slot.type))


def _find(recipe: Recipe, key: str) -> _Slot:
    """The slot of a full key, or of a shorter one that leaves out names and fits no other setting."""
    slots = _full_keys(recipe)
    if key in slots:
        return slots[key]
    fits = [full for full in slots if _leaves_out(key, full)]
    if len(fits) == 1:
        return slots[fits[0]]
    if fits:
        raise ValueError(f"means several settings: {' or '.join(fits)}")
    raise ValueError(f"no such key; {_of_another_part(recipe, key) or nearest(key, _all_keys(slots))}")


def _of_another_part(recipe: Recipe, key: str) -> str:
    """The hint for a setting that other parts in the same place have, such as `data.root` while scenes are drawn."""
    *path, last = key.split(".")
    owner: Any = recipe
    for name in path:
        owner = _child(owner, name)
    inside = (
        [getattr(owner, name) for name in type(owner).model_fields]
        if isinstance(owner, BaseModel)
        else [owner]
    )
    for node in inside:
        if not isinstance(node, Part | Parts):
            continue
        have = [name for name, builder in node.registry.builders().items() if last in builder.settings]
        if have:
            more = ", …" if len(have) > MOST_NAMED else ""
            kind = node.registry.kind
            return f"the {kind} {node.name} has none, {', '.join(have[:MOST_NAMED])}{more} have; choose another {kind}"
    return ""


def _leaves_out(key: str, full: str) -> bool:
    """Whether a key is a full one without some names in its middle."""
    short, names = key.split("."), full.split(".")
    if len(short) < 2 or (short[0], short[-1]) != (names[0], names[-1]):
        return False
    rest = iter(names[1:-1])
    return all(name in rest for name in short[1:-1])


def _all_keys(slots: Iterable[str]) -> set[str]:
    """Full keys, and the shortest ones of settings of parts."""
    return {*slots, *(f"{full.split('.')[0]}.{full.rpartition('.')[2]}" for full in slots if "." in full)}
