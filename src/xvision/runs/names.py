"""Names of the networks of a run: of the trained one, and of each quantization of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

FLOAT = "float"
"""The trained network."""
DEFAULT = "int8"
"""The quantization that the recipe's own `quant` section describes."""
LONGEST = 32
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{LONGEST - 1}}}")


def stage_name(step: str, network: str) -> str:
    """What a step of the pipeline is called that each network has for itself.

    >>> stage_name("export", "int8")
    'export int8'
    """
    return f"{step} {network}"


def check_name(name: str, taken: Iterable[str]) -> None:
    """Raise ValueError unless a new quantization may be called so: folders have the name too.

    `taken` are the names that the run's other networks have; some file systems do not tell upper case from lower.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"--as: expected a name of letters, digits, - and _ (1 to {LONGEST} of them, - and _ not in front), got "
            f"'{name}'; choose another"
        )
    if same := [other for other in taken if other.casefold() == name.casefold()]:
        raise ValueError(
            f"--as: expected a name of its own, got '{name}', and another network of the run is called '{same[0]}'; "
            "choose another"
        )


def check_known(folder: object, name: str, known: Sequence[str]) -> None:
    """Raise ValueError if a run has no network of this name."""
    if name not in known:
        raise ValueError(
            f"{folder}: expected one of {', '.join(known)}, got '{name}'; quantize with `xvision quantize {folder} "
            f"--as {name}`"
        )


def answering(networks: Sequence[str]) -> str:
    """The network that answers where none is named: the recipe's own quantization, else the last one.

    >>> answering(["float", "int8", "w4"]), answering(["float", "w4"]), answering(["float"])
    ('int8', 'w4', 'float')
    """
    return DEFAULT if DEFAULT in networks else networks[-1]
