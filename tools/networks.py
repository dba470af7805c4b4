"""Tables of docs/networks.md: which networks work, and of which operators and idioms they may be made."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping

from tests.graph.test_capture import WRITTEN
from xvision.graph.lines import ON_MAPS
from xvision.graph.operators import FUNCTIONS, LAYERS
from xvision.quant.rules import RULES, Rule

RULE_WORDS: dict[Rule, str] = {
    "layer": "integer weights and sums",
    "clip": "a clip of the codes of the operator before it",
    "same": "codes move, or lie between those of the input: one scale for both",
    "join": "one scale for all inputs and the output",
    "own": "exact sums and products, a scale of its own",
    "table": "a table of 256 values",
}
HEAD = ("Network", "Library", "Operators", "Result", "Max LSB", "In float, or why refused", "CPU s")


def summary(rows: list[dict[str, float | str]]) -> str:
    """How many networks came out how.

    >>> summary([{"status": "exact"}, {"status": "refused"}, {"status": "exact"}])
    '3 networks: 2 exact, 1 refused.'
    """
    counts = Counter(str(row["status"]) for row in rows)
    return f"{len(rows)} networks: {', '.join(f'{number} {kind}' for kind, number in counts.most_common())}."


def families(rows: list[dict[str, float | str]]) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """Each family, and the cells of its networks below `HEAD`."""
    found: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for row in rows:
        cells = (
            f"`{row['network']}`",
            str(row["library"]),
            _count(row, "operators"),
            str(row["status"]),
            _count(row, "max LSB"),
            str(row.get("in float") or (row["reason"] if row["status"] != "exact" else "")),
            f"{float(row['CPU s']):.0f}",
        )
        found[str(row["family"])].append(cells)
    yield from found.items()


def _count(row: Mapping[str, float | str], key: str) -> str:
    return str(int(row[key])) if key in row else ""


def operators() -> list[tuple[str, str]]:
    """What becomes of an operator in integers, and torch's operators of which that is true."""
    names: dict[str, set[str]] = defaultdict(set)
    for called, name in FUNCTIONS.items():
        names[RULES.get(name, "float")].add(str(called).removeprefix("aten."))
    for called, on_maps in ON_MAPS.items():
        names[RULES[FUNCTIONS[on_maps]]].add(str(called).removeprefix("aten."))
    for module, name in LAYERS.items():
        names[RULES[name]].add(module.__name__)
    return [
        (words, ", ".join(f"`{name}`" for name in sorted(names[rule]))) for rule, words in RULE_WORDS.items()
    ]


def idioms() -> list[str]:
    """Ways to write a network, each of which has a test."""
    return list(WRITTEN)
