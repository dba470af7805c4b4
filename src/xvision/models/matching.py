"""Which tensor of a file belongs to which of a network: by name, by name without a prefix, or by order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Size

COUNTER = "num_batches_tracked"  # batch norm's; nothing depends on it

Shapes = Mapping[str, Size]


@dataclass(frozen=True)
class Match:
    """What a file and a network share. `pairs` is the network's name to the file's, both of the same shape."""

    pairs: dict[str, str]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    wrong_size: tuple[str, ...]
    rule: str = ""  # how names were changed, "" if they were not


@dataclass(frozen=True)
class Loaded:
    """What became of a file's tensors; names are the model's, `unexpected` ones the file's."""

    source: str
    matched: tuple[str, ...]
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    wrong_size: tuple[str, ...] = ()
    renamed: str = ""
    trained_on: str = ""
    fold_db: float | None = None
    shared: tuple[str, ...] = ()
    """What further streams took of the image's stem, a line each."""
    classes: tuple[str, ...] = ()
    """How classes were matched where the file knows others, a line each."""

    def __str__(self) -> str:
        lines = [f"weights: {len(self.matched)} tensors from {self.source}"]
        if self.renamed:
            lines.append(f"  names matched {self.renamed}")
        if self.trained_on:
            near = "" if self.fold_db is None else f"; folded, outputs within {self.fold_db:.1f} dB"
            lines.append(f"  trained on {self.trained_on}{near}")
        lines += [f"  {line}" for line in (*self.shared, *self.classes)]
        for what, names in (
            ("left as they were, not in the file", self.missing),
            ("left as they were, other size", self.wrong_size),
            ("in the file only", self.unexpected),
        ):
            if names:
                lines.append(f"  {what} ({len(names)}): {', '.join(names)}")
        return "\n".join(lines)


def match(own: Shapes, given: Shapes) -> Match:
    """Pair the tensors of a file (`given`) with those of a network (`own`).

    Prefixes that wrappers add (module., model., …) are dropped. If fewer than half of the names are known even
    so, tensors are paired in order, provided that every kind (weight, running_mean, …) and, but for the last
    layer's, every shape agrees. A network without its classifier, as decoders use it, takes the first ones.
    """
    own = {key: shape for key, shape in own.items() if not key.endswith(COUNTER)}
    given = {key: shape for key, shape in given.items() if not key.endswith(COUNTER)}
    candidates = [_by_name(own, given, prefix) for prefix in _prefixes(given)]
    best = max(candidates, key=lambda found: len(found.pairs))
    if len(best.pairs) + len(best.wrong_size) < len(given) / 2:
        return _by_order(own, given) or best
    return best


def _prefixes(given: Shapes) -> list[str]:
    """What all names might begin with for no reason of the network's: 'module.', 'module.model.', …"""
    prefixes = [""]
    while heads := {key.removeprefix(prefixes[-1]).partition(".")[0] for key in given}:
        if len(heads) > 1:
            break
        prefixes.append(f"{prefixes[-1]}{heads.pop()}.")
        if any(key == prefixes[-1] or not key.startswith(prefixes[-1]) for key in given):
            return prefixes[:-1]
    # Heads trained beside a wrapped network keep it from being the only prefix.
    return prefixes + [p for p in ("module.", "model.", "backbone.", "encoder.") if p not in prefixes]


def _by_name(own: Shapes, given: Shapes, prefix: str) -> Match:
    names = {key.removeprefix(prefix): key for key in given if key.startswith(prefix)}
    known = {key: names[key] for key in own if key in names}
    pairs = {key: theirs for key, theirs in known.items() if own[key] == given[theirs]}
    wrong = tuple(
        f"{key}: {_text(given[theirs])} in the file, {_text(own[key])} in the network"
        for key, theirs in known.items()
        if key not in pairs
    )
    used = set(known.values())
    return Match(
        pairs,
        missing=tuple(key for key in own if key not in known),
        unexpected=tuple(key for key in given if key not in used),
        wrong_size=wrong,
        rule=f"without the prefix '{prefix}'" if prefix else "",
    )


def _by_order(own: Shapes, given: Shapes) -> Match | None:
    if len(own) > len(given):
        return None
    whole = len(own) == len(given)
    last_layer = list(own)[-1].rpartition(".")[0]
    renamed = dict(zip(own, given, strict=False))
    for key, theirs in renamed.items():
        same_kind = key.rpartition(".")[2] == theirs.rpartition(".")[2]
        may_differ = whole and key.rpartition(".")[0] == last_layer
        if not same_kind or (own[key] != given[theirs] and not may_differ):
            return None
    found = _by_name(own, {key: given[theirs] for key, theirs in renamed.items()}, "")
    pairs = {key: renamed[key] for key in found.pairs}
    rest = tuple(given)[len(own) :]
    rule = "in order, one to one" if whole else "in order, the first ones"
    return Match(pairs, found.missing, (*found.unexpected, *rest), found.wrong_size, rule)


def _text(shape: Size) -> str:
    return "x".join(map(str, shape)) or "scalar"
