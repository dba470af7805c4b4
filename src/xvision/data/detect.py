"""Which data set lies in a folder: every dataset file that can tell is asked."""

from __future__ import annotations

import importlib

from xvision.data.dataset import DataError
from xvision.data.datasets import dataset
from xvision.data.sources import find_root
from xvision.parts import Part


def detect(root: str) -> Part:
    """The data set at `root` as a part, ready to build.

    A dataset file tells by a function ``detect(root: Path) -> str | None`` that gives the name of its builder. Where
    the layout is one that named sets have too, the file says ``GENERIC = True``: it counts if no other answers.

    Raises: DataError when none recognises the folder, ValueError when several do.
    """
    if not root:
        raise ValueError("data.root: expected the folder of a data set; set data.root=DIR")
    place = find_root(root, setting="data.root", holds="a data set", get="Set data.root to where it is.")
    modules = sorted({builder.module for builder in dataset.builders().values()})
    asked = [m for m in (importlib.import_module(name) for name in modules) if hasattr(m, "detect")]
    found = {
        answer: getattr(module, "GENERIC", False) for module in asked if (answer := module.detect(place))
    }
    answers = sorted(answer for answer, generic in found.items() if not generic or all(found.values()))
    if len(answers) == 1:
        return dataset.part(answers[0], {"root": str(place)})
    if answers:
        raise ValueError(
            f"{place.absolute()}: it could be {' or '.join(answers)}; say which: data={answers[0]} data.root={root}"
        )
    known = ", ".join(sorted(module.__name__.rpartition(".")[2] for module in asked))
    raise DataError(
        f"{place.absolute()}: no data set was recognised in it (asked: {known}); say which it is, data=NAME "
        f"data.root={root}; docs/data_sets.md shows how folders of your own are laid out"
    )
