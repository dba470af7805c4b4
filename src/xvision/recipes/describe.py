"""What `xvision show` says of parts and of the sections of a recipe: their settings, with kinds, defaults and meaning.

A part's settings are explained by its documentation, those of a section each by the string below it in the source.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xvision.config.messages import nearest
from xvision.config.parts import Part, Parts

if TYPE_CHECKING:
    from pydantic import BaseModel

    from xvision.config.builders import Builder
    from xvision.config.parts import Registry


@dataclass(frozen=True)
class Setting:
    """One setting: its kind as the source spells it, its default (... if it has none), what it means."""

    type: str
    default: Any
    help: str = ""

    def plain(self) -> dict[str, Any]:
        default = {} if self.default is ... else {"default": self.default}
        return {"type": self.type, **default, **({"help": self.help} if self.help else {})}

    def line(self) -> str:
        """Its kind and default in a line; of a part what shows its own settings."""
        text = self.type + ("" if self.default is ... else f" = {self.default!r}")
        is_part = self.type in ("Part", "Parts") and isinstance(self.default, str)
        return f"{text}  (its settings: xvision show {self.default})" if is_part else text


@dataclass(frozen=True)
class Description:
    """A part or a section."""

    summary: str
    details: str
    settings: Mapping[str, Setting]

    def plain(self) -> dict[str, Any]:
        return {
            "summary": self.summary,
            "details": self.details,
            "settings": {key: one.plain() for key, one in self.settings.items()},
        }

    def text(self) -> str:
        """For people: the summary, the settings, then all that is said of them together."""
        lines = [self.summary]
        for key, one in self.settings.items():
            lines.append(f"  {key}: {one.line()}")
            lines += [textwrap.indent(one.help, " " * 6)] if one.help else []
        return "\n".join([*lines, *(["", textwrap.indent(self.details, "  ")] if self.details else [])])


def all_registries() -> dict[str, Registry]:
    """Every kind of part, by its name."""
    from xvision.data.datasets import dataset
    from xvision.export.executors import executor
    from xvision.export.formats import export_format
    from xvision.models.backbones import backbone
    from xvision.models.decoders import decoder
    from xvision.models.presets import preset
    from xvision.quant.methods import method
    from xvision.quant.rungs import rung
    from xvision.quant.schemes import scheme
    from xvision.recipes import recipe
    from xvision.tasks import task
    from xvision.tasks.losses import depth_loss, label_loss
    from xvision.train.balancing import balancing
    from xvision.train.optimizers import optimizer
    from xvision.train.schedules import schedule

    trained = (label_loss, depth_loss, balancing, optimizer, schedule)
    deployed = (scheme, method, rung, export_format, executor)
    found = (recipe, dataset, task, preset, backbone, decoder, *trained, *deployed)
    return {registry.kind: registry for registry in found}


def described(name: str, registries: Mapping[str, Registry]) -> dict[str, Description]:
    """What is called so, by its kind: a section of a recipe (train, data.augment), a setting in one (train.decay), or a
    part of one kind or several.

    Raises: ValueError if nothing is.
    """
    found = {kind: _part(r.builders()[name]) for kind, r in registries.items() if name in r.builders()}
    if found:
        return found
    sections = dict(_sections())
    if name in sections:
        return {"section": _section(sections[name])}
    section, _, key = name.rpartition(".")
    if section in sections and (one := _settings(sections[section]).get(key)):
        return {"setting": Description(one.line(), one.help, {})}
    known = [*sections, *(one for registry in registries.values() for one in registry.builders())]
    raise ValueError(f"show: nothing is called '{name}'; {nearest(name, known)}; see `xvision list`")


def _part(builder: Builder) -> Description:
    settings = {key: Setting(kind, default) for key, (kind, default) in builder.settings.items()}
    return Description(builder.summary, builder.doc.partition("\n")[2].strip(), settings)


def _sections() -> Iterator[tuple[str, type[BaseModel]]]:
    """The sections of a recipe by their dotted keys."""
    from xvision.recipes.schema import Recipe

    return _below(Recipe, "")


def _below(model: type[BaseModel], above: str) -> Iterator[tuple[str, type[BaseModel]]]:
    from pydantic import BaseModel

    for key, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield f"{above}{key}", kind
            yield from _below(kind, f"{above}{key}.")


def _section(section: type[BaseModel]) -> Description:
    """Without the sections inside."""
    inside = dict(_below(section, ""))
    own = {key: one for key, one in _settings(section).items() if key not in inside}
    summary, _, details = inspect.cleandoc(section.__doc__ or "").partition("\n")
    return Description(summary, details.strip(), own)


def _settings(section: type[BaseModel]) -> dict[str, Setting]:
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for node, below in zip(body.body, [*body.body[1:], None], strict=True):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        meaning = ""
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            meaning = inspect.cleandoc(str(below.value.value))
        field = section.model_fields[node.target.id]
        default = ... if field.is_required() else _plain(field.get_default())
        found[node.target.id] = Setting(ast.unparse(_Unlimited().visit(node.annotation)), default, meaning)
    return found


class _Unlimited(ast.NodeTransformer):
    """An annotation without limits: the message of a value beyond them tells them."""

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:
        self.generic_visit(node)
        if ast.unparse(node.value) != "Annotated":
            return node
        assert isinstance(node.slice, ast.Tuple)
        return node.slice.elts[0]


def _plain(value: Any) -> Any:
    """Parts by their names."""
    return value.name if isinstance(value, Part | Parts) else value
