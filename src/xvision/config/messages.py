"""What a message says after its "unknown name" or "wrong value": what was meant, what was expected."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

MOST_LISTED = 12
_CHOICE = r"constrained-\w+$|literal\["  # what pydantic calls the alternatives of a setting


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
    """One line per problem that pydantic found: where, what was expected, what it got."""
    lines = []
    for problem in error.errors():
        keys = [str(p) for p in problem["loc"] if not re.match(_CHOICE, str(p))]
        where = ".".join([*filter(None, [prefix]), *keys])
        if problem["type"] == "extra_forbidden":
            text = "no such key"
        elif problem["type"] in ("value_error", "missing"):
            text = problem["msg"].removeprefix("Value error, ")
        else:
            text = f"{problem['msg'].removeprefix('Input ')}, got {problem['input']!r}"
        lines.append(f"{where}: {text}" if where else text)
    return lines
