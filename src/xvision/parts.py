"""Parts: a registered builder and its settings, checked when written, built later, storable as YAML.

A *builder* is a function or class in the folder of its registry, marked with the registry's decorator::

    # xvision/data/datasets/cifar10.py
    @dataset
    def cifar10(*, root: str = "cifar10", valid_ratio: float = 0.0) -> Dataset:
        '''CIFAR-10, ten classes of 32x32 images.'''

Its positional arguments are what the pipeline gives, its keyword-only arguments are the *settings*. A
registry reads names, first docstring lines and settings from the source with `ast`, so that listing parts,
checking settings and printing help import neither the parts nor torch; `Part.build` imports the one it needs.
Adding a part is one new file and no edit.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.util
import inspect
import textwrap
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError


MOST_LISTED = 12


def nearest(name: str, known: Iterable[str]) -> str:
    """The hint that ends every "unknown name" message.

    >>> nearest("cifar1", ["cifar10", "scenes"])
    "did you mean 'cifar10'?"
    >>> nearest("x", ["cifar10", "scenes"])
    'known: cifar10, scenes'
    >>> nearest("seg", ["sgd", "segmentation"])
    "did you mean 'segmentation'?"
    """
    known = sorted(known)
    begun = sorted((one for one in known if name and one.startswith(name)), key=len)
    close = begun or difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    more = f" and {len(known) - MOST_LISTED} more" if len(known) > MOST_LISTED else ""
    return f"known: {', '.join(known[:MOST_LISTED]) or '(none)'}{more}"


def explain(error: ValidationError, prefix: str = "") -> list[str]:
    """One line per problem that pydantic found: where, what was expected, what came."""
    lines = []
    for problem in error.errors():
        where = ".".join([*filter(None, [prefix]), *(str(p) for p in problem["loc"])])
        if problem["type"] == "extra_forbidden":
            text = "no such key"
        elif problem["type"] in ("value_error", "missing"):
            text = problem["msg"].removeprefix("Value error, ")
        else:
            text = f"{problem['msg'].removeprefix('Input ')}, came {problem['input']!r}"
        lines.append(f"{where}: {text}" if where else text)
    return lines


def parse_size(value: Any) -> Any:
    """Height and width from 'HxW', one number or a pair; sizes are HxW everywhere.

    >>> parse_size("64x96"), parse_size("32"), parse_size([32, 48])
    ((64, 96), (32, 32), [32, 48])
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value, value
    if isinstance(value, str):
        numbers = value.lower().split("x")
        if len(numbers) <= 2 and all(n.strip().isdigit() and int(n) > 0 for n in numbers):
            return int(numbers[0]), int(numbers[-1])
        raise ValueError(f"'{value}' is not a size: write HEIGHTxWIDTH, for example 64x96")
    return value


def _size() -> Any:
    from pydantic import BeforeValidator, PlainSerializer

    return Annotated[
        tuple[int, int],
        BeforeValidator(parse_size),
        PlainSerializer(lambda hw: f"{hw[0]}x{hw[1]}", return_type=str),
    ]


if TYPE_CHECKING:
    Size = tuple[int, int]
else:

    class Size:
        """Annotation of a setting or section field that is a height and width in pixels."""

        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            return handler.generate_schema(_size())


@dataclass(frozen=True)
class Builder:
    """What the source of one registered builder says, read without importing it."""

    name: str
    module: str
    summary: str
    settings: Mapping[str, tuple[str, Any]]  # name -> (annotation as text, default or ...)
    fn: Callable[..., Any] | None = None  # only for builders registered from outside the folder

    @cached_property
    def schema(self) -> type[BaseModel]:
        """A pydantic model of the settings: coercion, messages, no unknown keys."""
        from pydantic import ConfigDict, Field, create_model

        scope: dict[str, Any] = {**vars(typing), "Size": Size, "Path": Path, "Field": Field}
        fields: dict[str, Any] = {
            key: (eval(annotation, scope), default)  # annotations of our own source, not of users' input
            for key, (annotation, default) in self.settings.items()
        }
        return create_model(
            self.name, __config__=ConfigDict(extra="forbid", frozen=True, validate_default=True), **fields
        )

    def load(self) -> Callable[..., Any]:
        """Import and return the builder itself."""
        if self.fn is not None:
            return self.fn
        return typing.cast("Callable[..., Any]", getattr(importlib.import_module(self.module), self.name))


def _choices(tree: ast.Module) -> dict[str, ast.expr]:
    """Names that a file gives to choices and limits (``Mode = Literal[…]``), or takes from another file of ours."""
    found: dict[str, ast.expr] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("xvision."):
            spec = importlib.util.find_spec(str(node.module))
            if spec is not None and spec.origin is not None:
                theirs = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
                there = _own_choices(theirs)
                found |= {a.asname or a.name: there[a.name] for a in node.names if a.name in there}
    return found | _own_choices(tree)


def _own_choices(tree: ast.Module) -> dict[str, ast.expr]:
    return {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript)
        for target in node.targets
        if isinstance(target, ast.Name) and ast.unparse(node.value.value) in ("Literal", "Annotated")
    }


class _Spelt(ast.NodeTransformer):
    """An annotation with named choices written out."""

    def __init__(self, choices: Mapping[str, ast.expr]) -> None:
        self.choices = choices

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.choices.get(node.id, node)


def _read_builder(
    node: ast.FunctionDef | ast.ClassDef, module: str, choices: Mapping[str, ast.expr]
) -> Builder:
    """Settings are the keyword-only arguments of a function, or of a class's ``__init__``."""
    fn: ast.FunctionDef | ast.ClassDef | None = node
    if isinstance(node, ast.ClassDef):
        inits = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        fn = inits[0] if inits else None
    settings: dict[str, tuple[str, Any]] = {}
    if isinstance(fn, ast.FunctionDef):
        for arg, default in zip(fn.args.kwonlyargs, fn.args.kw_defaults, strict=True):
            assert arg.annotation is not None, (
                f"{module}.{node.name}: setting '{arg.arg}' needs an annotation"
            )
            settings[arg.arg] = (
                ast.unparse(_Spelt(choices).visit(arg.annotation)),
                ... if default is None else ast.literal_eval(default),
            )
    doc = ast.get_docstring(node) or ""
    return Builder(node.name, module, doc.partition("\n")[0], settings)


@cache
def _scan(package: str, decorator: str) -> dict[str, Builder]:
    """All builders marked ``@decorator`` in a package's own files (or in one module)."""
    spec = importlib.util.find_spec(package)
    assert spec is not None, package
    if spec.submodule_search_locations:
        files = sorted(f for d in spec.submodule_search_locations for f in Path(d).glob("*.py"))
    else:
        assert spec.origin is not None
        files = [Path(spec.origin)]
    found: dict[str, Builder] = {}
    for file in files:
        module = (
            package
            if not spec.submodule_search_locations or file.stem == "__init__"
            else f"{package}.{file.stem}"
        )
        tree = ast.parse(file.read_text(encoding="utf-8"))
        choices: dict[str, ast.expr] | None = None
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            if not any(isinstance(d, ast.Name) and d.id == decorator for d in node.decorator_list):
                continue
            if node.name in found:
                raise ValueError(
                    f"'{node.name}' is defined twice: in {found[node.name].module} and in {module}"
                )
            choices = _choices(tree) if choices is None else choices
            found[node.name] = _read_builder(node, module, choices)
    return found


class Registry:
    """The builders of one kind, found by walking a folder on first lookup.

    `decorator` is the name under which the folder's files use it: ``dataset = Registry("dataset", __name__)``.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self._package = package
        self._own: dict[str, Builder] = {}

    def __call__(self, fn: Any) -> Any:
        """Decorator: mark `fn` as a builder (from outside the folder: add it to this registry)."""
        if not fn.__module__.startswith(self._package):
            node = ast.parse(textwrap.dedent(inspect.getsource(fn))).body[0]
            assert isinstance(node, ast.FunctionDef | ast.ClassDef)
            other = self.builders().get(node.name)
            if other is not None and other.module != fn.__module__:
                raise ValueError(f"'{node.name}' is defined twice: in {other.module} and in {fn.__module__}")
            read = _read_builder(node, fn.__module__, {})
            self._own[node.name] = Builder(read.name, read.module, read.summary, read.settings, fn)
        return fn

    def builders(self) -> dict[str, Builder]:
        """Every builder by name, without importing one."""
        return _scan(self._package, self.kind) | self._own

    def builder(self, name: str) -> Builder:
        known = self.builders()
        if name not in known:
            raise ValueError(f"no {self.kind} is called '{name}'; {nearest(name, known)}")
        return known[name]

    def part(self, name: str, settings: Mapping[str, Any] | None = None) -> Part:
        """A checked `Part` of the builder `name`."""
        return Part(self, name, settings or {})

    def parts(self, text: str) -> Parts:
        """Checked `Parts` from 'name+name'."""
        return parts_of(self).parse(text)

    def __getattr__(self, name: str) -> Callable[..., Part]:
        if name.startswith("_"):
            raise AttributeError(name)
        self.builder(name)
        return lambda **settings: self.part(name, settings)


@dataclass(frozen=True)
class Part:
    """A builder's name and its complete, checked settings."""

    registry: Registry = field(repr=False, compare=False)
    name: str
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        from pydantic import ValidationError

        builder = self.registry.builder(self.name)
        what = f"{self.registry.kind} {self.name}"
        if unknown := [key for key in self.settings if key not in builder.settings]:
            hints = [f"{what}: no setting '{key}'; {nearest(key, builder.settings)}" for key in unknown]
            raise ValueError("; ".join(hints))
        try:
            checked = builder.schema.model_validate(dict(self.settings))
        except ValidationError as e:
            raise ValueError("; ".join(explain(e, what))) from None
        object.__setattr__(self, "settings", checked.model_dump())

    def __hash__(self) -> int:
        return hash((self.name, repr(sorted(self.settings.items()))))

    def with_settings(self, **changes: Any) -> Part:
        return Part(self.registry, self.name, {**self.settings, **changes})

    def build(self, *given: Any) -> Any:
        """Import the builder and call it with what the pipeline gives and the settings."""
        schema = self.registry.builder(self.name).schema
        checked = schema.model_validate(dict(self.settings))
        return self.registry.builder(self.name).load()(
            *given, **{k: getattr(checked, k) for k in self.settings}
        )

    def to_yaml(self) -> str | dict[str, Any]:
        """A bare name, or ``{name: {setting: value, …}}``."""
        return {self.name: dict(self.settings)} if self.settings else self.name


class part_of:
    """Annotation of a section's field that holds a part of one registry: ``Annotated[Part, part_of(dataset)]``."""

    def __init__(self, registry: Registry) -> None:
        # a field called like its registry hides it: write part_of(schemes.scheme), not part_of(scheme)
        assert isinstance(registry, Registry), registry
        self.registry = registry

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(Part.to_yaml),
        )

    def parse(self, value: Any) -> Part:
        """A part from a `Part`, from 'name' or 'name:first setting', or from ``{name: {setting: value}}``."""
        if isinstance(value, Part):
            if value.registry.kind != self.registry.kind:
                raise ValueError(
                    f"expected a {self.registry.kind}, came the {value.registry.kind} '{value.name}'"
                )
            return value
        if isinstance(value, str):
            name, _, first = value.partition(":")
            settings = self.registry.builder(name).settings
            if first and not settings:
                raise ValueError(f"the {self.registry.kind} '{name}' has no settings, came '{value}'")
            return self.registry.part(name, {next(iter(settings)): first} if first else {})
        if isinstance(value, dict) and len(value) == 1:
            ((name, settings),) = value.items()
            return self.registry.part(str(name), settings or {})
        raise ValueError(f"expected the name of a {self.registry.kind}, came {value!r}")


@dataclass(frozen=True)
class Parts:
    """One or more parts of a registry, each name once: the tasks of a network, the data sets of a training.

    >>> from xvision.tasks import task
    >>> parts_of(task).parse("segmentation+depth").name
    'segmentation+depth'
    """

    registry: Registry = field(repr=False, compare=False)
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        assert names, f"no {self.registry.kind}"
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the {self.registry.kind} '{twice[0]}' is named twice; name each once")

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, name: str) -> Part:
        return next(part for part in self.parts if part.name == name)

    @property
    def name(self) -> str:
        """The names, joined by '+'."""
        return "+".join(part.name for part in self.parts)

    def replace(self, name: str, part: Part) -> Parts:
        """The same parts with another one in the place of `name`."""
        return Parts(self.registry, tuple(part if p.name == name else p for p in self.parts))

    def to_yaml(self) -> str | dict[str, Any]:
        """A bare name, or a mapping from each name to its settings."""
        if len(self.parts) == 1:
            return self.parts[0].to_yaml()
        return {part.name: dict(part.settings) for part in self.parts}


class parts_of:
    """Annotation of a section's field that holds parts of one registry: ``Annotated[Parts, parts_of(task)]``."""

    def __init__(self, registry: Registry) -> None:
        assert isinstance(registry, Registry), registry
        self.registry = registry
        self._one = part_of(registry)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(Parts.to_yaml),
        )

    def parse(self, value: Any) -> Parts:
        """Parts from `Parts` or a `Part`, from 'name+name', or from ``{name: {setting: value}, …}``."""
        if isinstance(value, Parts):
            parts = value.parts
        elif isinstance(value, str):
            parts = tuple(self._one.parse(name) for name in value.split("+"))
        elif isinstance(value, dict) and value:
            parts = tuple(self._one.parse({name: settings}) for name, settings in value.items())
        else:
            parts = (self._one.parse(value),)
        return Parts(self.registry, tuple(self._one.parse(part) for part in parts))
