"""Which data set lies in a folder: every dataset file that can tell is asked.

A dataset file tells by a function ``detect(root: Path) -> str | None`` that gives the name of its builder. Where the
layout is one that named sets have too, the file says ``GENERIC = True``: it counts if no other answers.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from xvision.config.parts import Part
from xvision.data.dataset import DataError
from xvision.data.datasets import dataset
from xvision.data.sources import find_root

Layout = TypeVar("Layout")


def detect(root: str) -> Part:
    """The data set at `root` as a part, ready to build.

    Raises: DataError when none recognises the folder, ValueError when several do.
    """
    if not root:
        raise ValueError("data.root: expected the folder of a data set; set data.root=DIR")
    place = find_root(root, setting="data.root", holds="a data set", get="Set data.root to where it is.")
    named, generic = _answers(place)
    answers = named or generic
    if len(answers) == 1:
        return dataset.part(answers[0], {"root": str(place)})
    if answers:
        raise ValueError(
            f"{place.absolute()}: it could be {' or '.join(answers)}; say which: data={answers[0]} data.root={root}"
        )
    known = ", ".join(sorted(module.__name__.rpartition(".")[2] for module in _askable()))
    raise DataError(
        f"{place.absolute()}: no data set was recognised in it (asked: {known}); say which it is, data=NAME "
        f"data.root={root}; docs/data_sets.md shows how folders of your own are laid out"
    )


def find_set(
    name: str, root: str, recognise: Callable[[Path], Layout], *, holds: str, get: str
) -> tuple[Path, Layout]:
    """The folder or file of the data set `name` at `root`, and what `recognise` makes of it.

    `holds` and `get` are for messages, as for `find_root`. Raises: DataError where nothing is, or something else
    (`recognise` gives an empty answer); other sets are asked for the message alone.
    """
    place = find_root(root, setting="data.root", holds=holds, get=get)
    found = recognise(place)
    if found:
        return place, found
    named, generic = _answers(place)
    answers = named or generic
    seems = f" and looks like {' or '.join(answers)} (data={answers[0]})" if answers else ""
    raise DataError(f"data.root: expected {holds}; {place.absolute()} holds none of them{seems}. {get}")


def _askable() -> list[ModuleType]:
    modules = sorted({builder.module for builder in dataset.builders().values()})
    return [module for name in modules if hasattr(module := importlib.import_module(name), "detect")]


def _answers(place: Path) -> tuple[list[str], list[str]]:
    """What recognises a folder: sets with a name, and layouts that anybody may have."""
    found: tuple[list[str], list[str]] = [], []
    for module in _askable():
        if answer := module.detect(place):
            found[getattr(module, "GENERIC", False)].append(answer)
    return found
