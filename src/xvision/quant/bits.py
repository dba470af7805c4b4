"""How many bits a layer has where it has others than the scheme says: the entries of a mixed-precision plan."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FORM = re.compile(r"(?=.)(?:w(?P<weights>[2-8]))?(?:a(?P<activations>8|16))?")
FLOAT = "float"


@dataclass(frozen=True)
class Bits:
    """Bits of the weights of a layer and of the tensor that it gives, None for those of the scheme; or all in float."""

    weights: int | None = None
    activations: int | None = None
    in_float: bool = False

    @classmethod
    def parse(cls, text: str) -> Bits:
        """From text such as w4, a16, w8a16 or float.

        >>> Bits.parse("w4a16")
        Bits(weights=4, activations=16, in_float=False)
        >>> str(Bits.parse("a16")), str(Bits.parse("float"))
        ('a16', 'float')
        """
        if text == FLOAT:
            return cls(in_float=True)
        found = FORM.fullmatch(text)
        if found is None:
            raise ValueError(
                f"expected bits of weights (w2 to w8), of activations (a8, a16), both such as w4a16, or float, "
                f"got '{text}'"
            )
        weights, activations = (int(bits) if bits else None for bits in found.group("weights", "activations"))
        return cls(weights, activations)

    def __str__(self) -> str:
        if self.in_float:
            return FLOAT
        return "".join(f"{k}{v}" for k, v in (("w", self.weights), ("a", self.activations)) if v is not None)


def read_plan(given: object) -> object:
    """A plan as a mapping of layer patterns to texts: of a YAML file's path, or of `pattern:bits,pattern:bits`.

    Raises: ValueError for a file that is missing or holds something else.
    """
    if not isinstance(given, str):
        return given
    path = Path(given)
    if path.suffix in (".yaml", ".yml"):
        return _read(path)
    pairs = [entry.rpartition(":") for entry in given.split(",") if entry.strip()]
    if any(not pattern.strip() for pattern, _, _ in pairs):
        raise ValueError(
            f"expected a plan's file (.yaml), or layers and bits such as 'backbone.*:a16,head:float', got '{given}'"
        )
    return {pattern.strip(): bits.strip() for pattern, _, bits in pairs}


def check_plan(plan: dict[str, str]) -> dict[str, str]:
    """The plan; ValueError names the entry that says no bits."""
    for pattern, bits in plan.items():
        try:
            Bits.parse(bits)
        except ValueError as e:
            raise ValueError(f"'{pattern}': {e}") from None
    return plan


def _read(path: Path) -> dict[str, str]:
    import yaml

    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        raise ValueError(f"{path}: expected a plan (YAML), it cannot be read ({e}); write it again") from e
    if not isinstance(plain, dict) or not all(isinstance(one, str) for pair in plain.items() for one in pair):
        raise ValueError(
            f"{path}: expected a mapping of layer patterns to bits, such as 'head: a16'; write it again"
        )
    return plain
