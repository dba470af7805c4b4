"""Recipe: everything that decides a run, in one frozen object that is also a YAML file.

A recipe composes the sections that live with their owners: `data`, `net`, `task`, `train`, `quant`, `export`. It is
complete: every default is written out, so equal YAML means equal run, and `Recipe.id` is the hash of that YAML.

Command-line overrides are `key=value`. Choices of parts (``data=cifar10``, ``net.backbone=timm:regnetx_004``)
are applied first, then keys, whatever the order; values are parsed by the type of their field. A setting may be
called by its short key when only one part of the section has it: ``data.root`` is ``data.dataset.root``.
"""

from __future__ import annotations

import hashlib
import json
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from xvision.data.settings import Data
from xvision.export.settings import Export
from xvision.models.settings import Net
from xvision.parts import Part, Size, explain, nearest, part_of
from xvision.quant.settings import Quant
from xvision.tasks import task
from xvision.train.settings import Train


class Recipe(BaseModel):
    """All settings of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    data: Data
    net: Net
    task: Annotated[Part, part_of(task)]
    train: Train = Train()
    quant: Quant = Quant()
    export: Export = Export()
    seed: Annotated[int, Field(ge=0)] = 0
    expect: dict[str, float] = {}
    """What a record of this recipe reached, by metric: shown beside the result."""
    source: str = ""
    """Paper or place that the recipe follows."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `Recipe.model_validate` reads back to an equal recipe."""
        plain: dict[str, Any] = json.loads(self.model_dump_json())
        return plain

    def to_yaml(self) -> str:
        import yaml

        text: str = yaml.safe_dump(self.to_dict(), sort_keys=False, width=110)
        return text

    @property
    def id(self) -> str:
        """Twelve hex digits that name what the recipe does (not what was expected of it)."""
        return digest({k: v for k, v in self.to_dict().items() if k not in ("expect", "source")})


def digest(plain: Any) -> str:
    """Twelve hex digits of plain data, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def read_recipe(path: Path) -> Recipe:
    """The recipe in a YAML file; ValueError names the file and every wrong key."""
    import yaml

    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        raise ValueError(
            f"{path}: cannot be read as YAML ({' '.join(str(e).split())}); mend it, or run with --fresh"
        ) from e
    try:
        return Recipe.model_validate(plain)
    except ValidationError as e:
        raise ValueError(f"{path}: not a recipe: {'; '.join(explain(e))}") from e


def flatten(plain: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one mapping with dotted keys.

    >>> flatten({"train": {"epochs": 1}, "seed": 0})
    {'train.epochs': 1, 'seed': 0}
    """
    if not isinstance(plain, Mapping) or not plain:
        return {prefix: plain}
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def differing_keys(a: Recipe, b: Recipe) -> dict[str, tuple[Any, Any]]:
    """Dotted keys whose values differ, with both values (what decides the run; not `expect` and `source`)."""
    x, y = (flatten({k: v for k, v in r.to_dict().items() if k not in ("expect", "source")}) for r in (a, b))
    return {k: (x.get(k), y.get(k)) for k in [*x, *(k for k in y if k not in x)] if x.get(k) != y.get(k)}


# ---------------------------------------------------------------------------------------------- overrides


@dataclass(frozen=True)
class _Slot:
    """Where a dotted key points to: an attribute of a section, or a setting of a part."""

    path: tuple[str, ...]  # attributes from the recipe down to the section or part
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


def _is_choice(recipe: Recipe, key: str) -> bool:
    """True for keys that name a part or a whole section."""
    node: Any = recipe
    for name in key.split("."):
        if not isinstance(node, BaseModel) or name not in type(node).model_fields:
            return False
        node = getattr(node, name)
    return isinstance(node, Part | BaseModel)


def _choose(recipe: Recipe, key: str, value: str, problems: list[str]) -> Recipe:
    *path, last = key.split(".")
    owner: Any = recipe
    for name in path:
        owner = getattr(owner, name)
    node = getattr(owner, last)
    try:
        if isinstance(node, BaseModel):
            if not hasattr(node, "choose"):
                raise ValueError(f"is a section; set one of its keys: {', '.join(type(node).model_fields)}")
            section: Recipe = _put(recipe, (*path, last), node.choose(value))
            return section
        chosen: Recipe = _put(recipe, (*path, last), part_of(node.registry).parse(value))
        return chosen
    except ValidationError as e:
        problems += [f"{key}: {line}" for line in explain(e)]
    except ValueError as e:
        problems.append(f"{key}: {e}")
    return recipe


def _put(node: Any, path: tuple[str, ...], value: Any) -> Any:
    """A copy of a frozen tree with one leaf replaced."""
    if not path:
        return value
    if isinstance(node, Part):
        assert len(path) == 1, path
        return node.with_settings(**{path[0]: value})
    return node.model_copy(update={path[0]: _put(getattr(node, path[0]), path[1:], value)})


def _slots(node: Any, path: tuple[str, ...] = ()) -> Iterator[_Slot]:
    """Every key below a section, parts included."""
    for name, info in type(node).model_fields.items():
        value = getattr(node, name)
        if isinstance(value, Part):
            for key, setting in value.registry.builder(value.name).schema.model_fields.items():
                yield _Slot((*path, name), key, setting.annotation, setting.metadata)
        elif isinstance(value, BaseModel):
            yield from _slots(value, (*path, name))
        else:
            yield _Slot(path, name, info.annotation, info.metadata)


def _find(recipe: Recipe, key: str) -> _Slot:
    """The slot of a full key, or of a short key that only one part of its section has."""
    slots = list(_slots(recipe))
    for slot in slots:
        if ".".join((*slot.path, slot.key)) == key:
            return slot
    *path, last = key.split(".")
    short = [
        s for s in slots if path and s.key == last and len(s.path) == 1 + len(path) and [*s.path[:-1]] == path
    ]
    if len(short) == 1:
        return short[0]
    if short:
        raise ValueError(f"means several settings: {' or '.join('.'.join((*s.path, s.key)) for s in short)}")
    raise ValueError(f"no such key; {nearest(key, _all_keys(slots))}")


def _all_keys(slots: list[_Slot]) -> set[str]:
    """Full keys, and the short ones of settings of parts."""
    full = {".".join((*s.path, s.key)) for s in slots}
    return full | {".".join((*s.path[:-1], s.key)) for s in slots if len(s.path) > 1}


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
