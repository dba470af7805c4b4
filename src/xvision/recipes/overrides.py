"""Changes of a recipe by ``key=value``, as a command line gives them.

Choices of parts (``data=cifar10``, ``net.backbone=timm:regnetx_004``) are applied first, then keys, whatever the order;
values are parsed by the type of their field. A setting may be called by a shorter key that leaves out names in between,
as long as one setting alone is meant: ``data.root`` is ``data.dataset.camvid.root``, ``task.losses`` is
``task.segmentation.losses``.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from xvision.config.messages import explain, nearest
from xvision.config.parts import Part, Parts, part_of, parts_of
from xvision.config.sizes import Size
from xvision.recipes.schema import Recipe

MOST_NAMED = 4


@dataclass(frozen=True)
class _Slot:
    """Where a dotted key points to: an attribute of a section, or a setting of a part."""

    path: tuple[str, ...]  # names from the recipe down to the section or part
    key: str  # field of that section, or setting of that part
    annotation: Any
    metadata: Sequence[Any]


def override(recipe: Recipe, texts: Iterable[str]) -> Recipe:
    """The recipe with ``key=value`` texts applied; ValueError lists every problem of all texts at once."""
    problems: list[str] = []
    wanted: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            problems.append(f"'{text}': expected key=value, for example train.epochs=3")
        elif key in wanted:
            problems.append(f"{key}: given twice ({wanted[key]!r} and {value!r}); keep one")
        else:
            wanted[key] = value
    choices = {k: v for k, v in wanted.items() if _is_choice(recipe, k)}
    for key, value in sorted(choices.items(), key=lambda kv: kv[0].count(".")):
        recipe = _choose(recipe, key, value, problems)
    changed: dict[tuple[str, ...], str] = {}
    for key, value in wanted.items():
        if key in choices:
            continue
        try:
            slot = _find(recipe, key)
            where = (*slot.path, slot.key)
            if where in changed:
                raise ValueError(f"the same setting as {changed[where]}; keep one")
            changed[where] = key
            recipe = _put(recipe, where, _parse(slot, value))
        except ValidationError as e:
            problems += [f"{key}: {line}" for line in explain(e)]
        except ValueError as e:
            problems.append(f"{key}: {e}")
    if problems:
        raise ValueError("\n".join(problems))
    return recipe


def _child(node: Any, name: str) -> Any:
    """What a name below a section, or below parts, means; None if nothing."""
    if isinstance(node, BaseModel):
        return getattr(node, name) if name in type(node).model_fields else None
    if isinstance(node, Parts):
        return next((part for part in node if part.name == name), None)
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


def _choose(recipe: Recipe, key: str, value: str, problems: list[str]) -> Recipe:
    *path, last = key.split(".")
    owner: Any = recipe
    for name in path:
        owner = _child(owner, name)
    node = _child(owner, last)
    try:
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
    except ValidationError as e:
        problems += [f"{key}: {line}" for line in explain(e)]
    except ValueError as e:
        problems.append(f"{key}: {e}")
    return recipe


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
    if isinstance(node, Part):
        assert not rest, path
        return node.with_settings(**{first: value})
    inner = _put(_child(node, first), rest, value)
    if isinstance(node, Parts):
        return node.replace(first, inner)
    if isinstance(node, Mapping):
        return {**node, first: inner}
    return node.model_copy(update={first: inner})


def _slots(node: Any, path: tuple[str, ...] = ()) -> Iterator[_Slot]:
    """Every key below a section, parts included."""
    if isinstance(node, Part):
        for key, setting in node.registry.builder(node.name).schema.model_fields.items():
            yield _Slot(path, key, setting.annotation, setting.metadata)
        return
    if isinstance(node, Parts):
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
            yield _Slot(path, name, info.annotation, info.metadata)


def _find(recipe: Recipe, key: str) -> _Slot:
    """The slot of a full key, or of a shorter one that leaves out names and fits no other setting."""
    slots = {".".join((*slot.path, slot.key)): slot for slot in _slots(recipe)}
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


def _parse(slot: _Slot, text: str) -> Any:
    """A value from text by the type of its field: never YAML, where 1e-2 is a string and 12:30 is 750."""
    annotation = slot.annotation
    options = (
        typing.get_args(annotation)
        if typing.get_origin(annotation) in (typing.Union, types.UnionType)
        else ()
    )
    if type(None) in options:
        if text.lower() in ("none", ""):
            return None
        annotation = next(o for o in options if o is not type(None))
    value: Any = text
    if annotation is not Size and typing.get_origin(annotation) is tuple:
        value = [item for item in text.replace(" ", "").strip("()[]").split(",") if item]
    if typing.get_origin(annotation) is dict:
        raise ValueError("cannot be set here; write it into a recipe file")
    full: Any = Annotated[annotation, *slot.metadata] if slot.metadata else annotation
    return TypeAdapter(full).validate_python(value)
