"""Builders as their source shows them: names, docstrings and settings, read with `ast` and not imported.

So listing parts, checking settings and printing help import neither the parts nor torch.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xvision.config.sizes import Size

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True)
class Builder:
    """What the source of one registered builder says, read without importing it."""

    name: str
    module: str
    doc: str
    settings: Mapping[str, tuple[str, Any]]  # name -> (annotation as text, default or ...)
    imports: Mapping[str, str]  # name that an annotation may use -> its module
    fn: Callable[..., Any] | None = None  # only for builders registered from outside the folder

    @property
    def summary(self) -> str:
        """The first line of its documentation."""
        return self.doc.partition("\n")[0]

    @cached_property
    def schema(self) -> type[BaseModel]:
        """A pydantic model of the settings: coercion, messages, no unknown keys."""
        from pydantic import ConfigDict, Field, create_model

        scope = _Scope(self.imports, {**vars(typing), "Size": Size, "Path": Path, "Field": Field})
        fields: dict[str, Any] = {
            key: (eval(annotation, {}, scope), default)  # annotations of our own source, not of users' input
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


class _Scope(dict[str, Any]):
    """Names that an annotation may use; others are imported where they are used."""

    def __init__(self, imports: Mapping[str, str], known: Mapping[str, Any]) -> None:
        super().__init__(known)
        self._imports = imports

    def __missing__(self, name: str) -> Any:
        return getattr(importlib.import_module(self._imports[name]), name)


def _imports(tree: ast.Module) -> dict[str, str]:
    return {
        a.name: str(node.module)
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for a in node.names
        if a.asname is None
    }


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
        if isinstance(target, ast.Name) and _is_choice(node.value)
    }


def _is_choice(value: ast.Subscript) -> bool:
    """``Literal[…]``, or ``Annotated[…, Field(…)]``: what can be read without importing more."""
    kind = ast.unparse(value.value)
    if kind != "Annotated":
        return kind == "Literal"
    calls = [ast.unparse(node.func) for node in ast.walk(value.slice) if isinstance(node, ast.Call)]
    return set(calls) == {"Field"}


class _Spelt(ast.NodeTransformer):
    """An annotation with named choices written out."""

    def __init__(self, choices: Mapping[str, ast.expr]) -> None:
        self.choices = choices

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self.choices.get(node.id, node)


def read_builder(
    node: ast.FunctionDef | ast.ClassDef,
    module: str,
    choices: Mapping[str, ast.expr],
    imports: Mapping[str, str],
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
    return Builder(node.name, module, ast.get_docstring(node) or "", settings, imports)


@cache
def scan(package: str, decorator: str) -> dict[str, Builder]:
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
            found[node.name] = read_builder(node, module, choices, _imports(tree))
    return found
