"""Parts: a registered builder and its settings, checked when written, built later, storable as YAML.

A *builder* is a function or class in the folder of its registry, marked with the registry's decorator::

    # xvision/data/datasets/cifar10.py
    @dataset
    def cifar10(*, root: str = "cifar10", valid_ratio: float = 0.0) -> Dataset:
        '''CIFAR-10, ten classes of 32x32 images.'''

Its positional arguments are what the pipeline gives, its keyword-only arguments are the *settings*. A
registry knows builders from their source (`xvision.config.builders`); `Part.build` imports the one it needs.
Adding a part is one new file and no edit.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar

from xvision.config.builders import Builder, read_builder, scan
from xvision.config.messages import explain, nearest
from xvision.config.values import plain_value, type_of

if TYPE_CHECKING:
    from pydantic import BaseModel


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
            known = dict.fromkeys(vars(sys.modules[fn.__module__]), fn.__module__)  # for its annotations
            read = read_builder(node, fn.__module__, {}, known)
            self._own[node.name] = replace(read, fn=fn)
        return fn

    def builders(self) -> dict[str, Builder]:
        """Every builder by name, without importing one."""
        return scan(self._package, self.kind) | self._own

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

    def value(self, key: str) -> Any:
        """A setting as the builder gets it; in `settings` it is plain data."""
        return getattr(self._checked, key)

    @property
    def _checked(self) -> BaseModel:
        return self.registry.builder(self.name).schema.model_validate(dict(self.settings))

    def build(self, *given: Any) -> Any:
        """Import the builder and call it with what the pipeline gives and the settings."""
        checked = self._checked
        return self.registry.builder(self.name).load()(
            *given, **{k: getattr(checked, k) for k in self.settings}
        )

    def to_yaml(self) -> str | dict[str, Any]:
        """A bare name, or ``{name: {setting: value, …}}``."""
        return {self.name: dict(self.settings)} if self.settings else self.name


def settings_of_text(registry: Registry, name: str, texts: Iterable[str], form: str) -> dict[str, Any]:
    """Settings of a part from ``key=value`` texts, by their types; `form` begins the message about another text."""
    fields = registry.builder(name).schema.model_fields
    settings: dict[str, Any] = {}
    for key, equals, value in (one.partition("=") for one in texts):
        if not equals:
            raise ValueError(f"{form}:key=value, got '{key}' for key=value")
        settings[key] = plain_value(value, type_of(fields[key])) if key in fields else value
    return settings


class Of(ABC):
    """Annotation of a setting that holds something of one registry, which `parse` reads."""

    def __init__(self, registry: Registry) -> None:
        # a field called like its registry hides it: write part_of(schemes.scheme), not part_of(scheme)
        assert isinstance(registry, Registry), registry
        self.registry = registry

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value.to_yaml()),
        )

    @abstractmethod
    def parse(self, value: Any) -> Any:
        """What the setting holds, from that itself, from text, or from plain data. Raises: ValueError."""


class part_of(Of):
    """Annotation of a section's field that holds a part of one registry: ``Annotated[Part, part_of(dataset)]``."""

    def parse(self, value: Any) -> Part:
        """A part from a `Part`, from 'name' or 'name:first setting', or from ``{name: {setting: value}}``."""
        if isinstance(value, Part):
            if value.registry.kind != self.registry.kind:
                raise ValueError(
                    f"expected a {self.registry.kind}, got the {value.registry.kind} '{value.name}'"
                )
            return value
        if isinstance(value, str):
            name, _, first = value.partition(":")
            if not first:
                return self.registry.part(name)
            fields = self.registry.builder(name).schema.model_fields
            if not fields:
                raise ValueError(f"the {self.registry.kind} '{name}' has no settings, got '{value}'")
            key, setting = next(iter(fields.items()))
            return self.registry.part(name, {key: plain_value(first, type_of(setting))})
        if isinstance(value, dict) and len(value) == 1:
            ((name, settings),) = value.items()
            return self.registry.part(str(name), settings or {})
        raise ValueError(f"expected the name of a {self.registry.kind}, got {value!r}")


class Named(Protocol):
    """What can be found by its name."""

    @property
    def name(self) -> str: ...


Item = TypeVar("Item", bound=Named)


@dataclass(frozen=True)
class Several(Generic[Item]):
    """One or more parts of a registry, each name once."""

    registry: Registry = field(repr=False, compare=False)
    parts: tuple[Item, ...]
    if_twice: ClassVar[str] = "name each once"

    def __post_init__(self) -> None:
        names, kind = self.names, self.registry.kind
        if not names:
            raise ValueError(
                f"expected at least one {kind}, got none; {nearest('', self.registry.builders())}"
            )
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"the {kind} '{twice[0]}' is named twice; {self.if_twice}")

    def __iter__(self) -> Iterator[Item]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def __getitem__(self, name: str) -> Item:
        return next(part for part in self.parts if part.name == name)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(part.name for part in self.parts)

    def replace(self, name: str, part: Item) -> Self:
        """The same with another one in the place of `name`."""
        return replace(self, parts=tuple(part if p.name == name else p for p in self.parts))


class several_of(Of):
    """Annotation of a setting that holds several parts of one registry."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._one = part_of(registry)


class Parts(Several[Part]):
    """One or more parts of a registry, each name once: the tasks of a network, the data sets of a training.

    >>> from xvision.tasks import task
    >>> parts_of(task).parse("segmentation+depth").name
    'segmentation+depth'
    """

    @property
    def name(self) -> str:
        """The names, joined by '+'."""
        return "+".join(self.names)

    def to_yaml(self) -> str | dict[str, Any]:
        """A bare name, or a mapping from each name to its settings."""
        if len(self.parts) == 1:
            return self.parts[0].to_yaml()
        return {part.name: dict(part.settings) for part in self.parts}


class parts_of(several_of):
    """Annotation of a section's field that holds parts of one registry: ``Annotated[Parts, parts_of(task)]``."""

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
