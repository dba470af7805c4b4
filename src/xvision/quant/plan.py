"""Mixed precision: which layers get more bits, when only so much may be spent on it.

Greedy: always the choice that takes most noise away for each multiply-accumulate that is not paid for yet, as long as
it fits. A layer is paid for once, whichever of its numbers has more bits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from xvision.files import write_text
from xvision.quant.bits import check_plan, read_plan
from xvision.quant.findings import Kind, Sensitivity, SiteSensitivity, signal_db

MORE_BITS = {"activations": 16, "weights": 8}
"""What a place gets that has fewer."""
LETTER = {"weights": "w", "activations": "a"}
WORTH = 0.005
"""Of the noise of all choices, below which one is not worth a line."""
REMARK = "  # "


@dataclass(frozen=True)
class Limit:
    """What a plan may cost, or must reach.

    `share`: at most this share of the costs of all layers. `gain_db`: at least so much more signal over noise.
    `drop`: the metric at most so far behind float, in its own unit.
    """

    kind: Literal["share", "gain_db", "drop"]
    value: float

    def __post_init__(self) -> None:
        if not (0 < self.value <= 1 if self.kind == "share" else self.value >= 0):
            expected = "a share above 0, at most 1" if self.kind == "share" else "a number from 0 on"
            raise ValueError(f"--{self.kind.removesuffix('_db')}: expected {expected}, got {self.value:g}")


@dataclass(frozen=True)
class Choice:
    """Places that get more bits together, since one pattern of layer names says both."""

    sites: tuple[SiteSensitivity, ...]
    names: frozenset[tuple[Kind, str]]
    """What a plan calls them: for each place a layer's name that no other place has, where there is one."""

    @cached_property
    def covers(self) -> frozenset[tuple[Kind, str]]:
        """Names that give more bits to one of them."""
        return frozenset((site.kind, layer) for site in self.sites for layer in site.layers)

    @cached_property
    def noise(self) -> float:
        return sum(site.noise for site in self.sites)

    @cached_property
    def readers(self) -> frozenset[str]:
        return frozenset(reader for site in self.sites for reader in site.readers)


Reached = Callable[[Sequence[SiteSensitivity]], float]
"""What is measured with some places in float, for more bits are nearly that: dB, or the metric."""


@dataclass(frozen=True)
class Plan:
    """Bits by pattern of layer names, such as {"backbone.conv": "a16", "head": "w8a16"}."""

    layers: dict[str, str]
    note: str = ""
    """What it is expected to give."""
    remarks: dict[str, str] = field(default_factory=dict, compare=False)
    """Of a layer, for who reads it."""
    sites: tuple[SiteSensitivity, ...] = field(default=(), compare=False)
    """The places that get more bits; of a plan from a file none are known."""

    def write(self, path: Path) -> None:
        """As a YAML mapping, with the note above it."""
        import yaml

        lines = [f"# {line}" for line in self.note.splitlines()]
        for name, bits in self.layers.items():
            remark = self.remarks.get(name)
            entry = yaml.safe_dump({name: bits}, width=10_000).rstrip("\n")
            lines.append(f"{entry}{REMARK}{remark}" if remark else entry)
        write_text(path, "\n".join([*lines, ""] if self.layers else [*lines, "{}", ""]))

    @classmethod
    def read(cls, path: Path) -> Plan:
        """The plan in a file, .yaml.

        Raises: ValueError that names the file if it is none.
        """
        layers = _layers(path)
        lines = path.read_text(encoding="utf-8").splitlines()
        note = "\n".join(line.removeprefix("#").strip() for line in lines if line.startswith("#"))
        remarked = (line.partition(REMARK)[::2] for line in lines if REMARK in line)
        return cls(layers, note, {name: remark for entry, remark in remarked for name in _entry(entry)})


def holds_plan(path: Path) -> bool:
    """Whether a YAML file is a plan, and not a recipe."""
    try:
        return bool(_layers(path))
    except ValueError:
        return False


def _layers(path: Path) -> dict[str, str]:
    try:
        plain = read_plan(str(path))
        assert isinstance(plain, dict)
        return check_plan(plain)
    except ValueError as e:
        said = str(e).removeprefix(f"{path}: ")
        raise ValueError(f"{path}: {said}; `xvision quantize RUN --plan FILE.yaml` writes one") from None


def _entry(line: str) -> list[str]:
    import yaml

    return [str(name) for name in yaml.safe_load(line)]


# ------------------------------------------------------------------------------------------- making one


def plan(
    found: Sensitivity, costs: Mapping[str, float], limit: Limit, reached: Reached | None = None
) -> Plan:
    """The layers that are worth more bits: 16 for tensors, 8 for weights that have fewer.

    `costs` are those of each layer (`found.macs`; or 1 each, for a share of the layers; or milliseconds), which is paid
    for all of its numbers at once. With `reached`, what is measured decides over a gain or a drop, and else what the
    sensitivity makes one expect: noise of several places adds up.

    Raises: ValueError if no plan reaches what is asked for.
    """
    choices = list(_choices(found))
    if limit.kind == "share":
        chosen = _greedy(choices, costs, limit.value * sum(costs.values()))
    else:
        chosen = _first_that_reaches(found, _greedy(choices, costs, float("inf")), limit, reached)
    sites = tuple(site for choice in chosen for site in choice.sites)
    return Plan(_lines(chosen), _note(found, sites), _remarks(found, chosen), sites)


def _choices(found: Sensitivity) -> Iterator[Choice]:
    """Places that can have more bits; those that one layer's name stands for belong together."""
    open_sites = [site for site in found.sites if site.bits < MORE_BITS[site.kind] and site.layers]
    used = Counter((site.kind, layer) for site in found.sites for layer in set(site.layers))
    grouped: list[Choice] = []
    for site in open_sites:
        own = [layer for layer in site.layers if used[site.kind, layer] == 1]
        choice = Choice((site,), frozenset((site.kind, layer) for layer in own[:1] or site.layers))
        for other in [one for one in grouped if one.names & choice.covers or choice.names & one.covers]:
            grouped.remove(other)
            choice = Choice(other.sites + choice.sites, other.names | choice.names)
        grouped.append(choice)
    noise = sum(choice.noise for choice in grouped)
    yield from (choice for choice in grouped if choice.noise > WORTH * noise)


def _greedy(choices: Sequence[Choice], costs: Mapping[str, float], budget: float) -> list[Choice]:
    """Most noise for each unit of cost first; or the one choice that is worth more than all of these."""
    chosen, paid, left = list[Choice](), set[str](), list(choices)
    spent = 0.0

    def price(choice: Choice) -> float:
        return sum(costs.get(reader, 0.0) for reader in choice.readers - paid)

    alone = max((c for c in choices if price(c) <= budget), key=lambda c: c.noise, default=None)
    while fitting := [choice for choice in left if spent + price(choice) <= budget]:
        best = max(fitting, key=lambda choice: choice.noise / max(price(choice), 1e-9))
        spent += price(best)
        paid |= best.readers
        chosen.append(best)
        left.remove(best)
    if alone is not None and alone.noise > sum(choice.noise for choice in chosen):
        return [alone]
    return chosen


def _first_that_reaches(
    found: Sensitivity, ordered: Sequence[Choice], limit: Limit, reached: Reached | None
) -> list[Choice]:
    """The fewest of the first choices that are enough."""

    def enough(number: int) -> bool:
        sites = [site for choice in ordered[:number] for site in choice.sites]
        return _missing(found, sites, limit, reached) <= 0

    if not enough(len(ordered)):
        sites = [site for choice in ordered for site in choice.sites]
        missing = _missing(found, sites, limit, reached)
        raise ValueError(
            f"plan: expected to reach {limit.kind}={limit.value:g}, more bits for all {len(sites)} places miss it by "
            f"{missing:.3g}; ask for less, or train with quant.method=qat"
        )
    few, many = -1, len(ordered)
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if enough(middle) else (middle, many)
    return list(ordered[:many])


def _missing(
    found: Sensitivity, sites: Sequence[SiteSensitivity], limit: Limit, reached: Reached | None
) -> float:
    """How far from the limit a network is whose places have more bits; at most 0 where it is kept."""
    if limit.kind == "gain_db":
        value = reached(sites) if reached else predicted_db(found, sites)
        return limit.value - (value - signal_db(found.noise))
    if found.float_metric is None or found.int8_metric is None:
        raise ValueError(
            "plan: expected a metric that was measured, for a drop; measure it on labelled images"
        )
    sign = 1 if found.larger_is_better else -1
    value = reached(sites) if reached else predicted_metric(found, sites)
    return sign * (found.float_metric - value) - limit.value


def predicted_db(found: Sensitivity, sites: Sequence[SiteSensitivity]) -> float:
    """Signal over noise of the outputs without the noise of some places, which is their share of all."""
    return signal_db(found.noise * _left(found, sites))


def predicted_metric(found: Sensitivity, sites: Sequence[SiteSensitivity]) -> float:
    """The metric without the noise of some places, as if it were lost in proportion to noise."""
    assert found.float_metric is not None
    assert found.int8_metric is not None
    return found.float_metric - (found.float_metric - found.int8_metric) * _left(found, sites)


def _left(found: Sensitivity, sites: Sequence[SiteSensitivity]) -> float:
    return max(0.0, 1 - sum(found.share(site) for site in sites))


def _lines(chosen: Sequence[Choice]) -> dict[str, str]:
    bits: dict[str, dict[str, int]] = {}
    for choice in chosen:
        for kind, layer in sorted(choice.names):
            bits.setdefault(layer, {})[LETTER[kind]] = MORE_BITS[kind]
    return {
        layer: "".join(f"{letter}{of[letter]}" for letter in "wa" if letter in of)
        for layer, of in bits.items()
    }


def _note(found: Sensitivity, sites: Sequence[SiteSensitivity]) -> str:
    return (
        f"Mixed precision: more bits at {len(sites)} of {len(found.sites)} places, {_macs(found, sites)}.\n"
        f"Expected: {signal_db(found.noise):.1f} -> {predicted_db(found, sites):.1f} dB of signal over quantization "
        f"noise (from {found.num_images} images)."
    )


def _remarks(found: Sensitivity, chosen: Sequence[Choice]) -> dict[str, str]:
    return {
        layer: f"{_macs(found, choice.sites)}, {sum(map(found.share, choice.sites)):.1%} of the noise"
        for choice in chosen
        for _, layer in choice.names
    }


def _macs(found: Sensitivity, sites: Sequence[SiteSensitivity]) -> str:
    """Of the layers that multiply the numbers of some places."""
    readers = {reader for site in sites for reader in site.readers}
    macs = sum(found.macs.get(reader, 0) for reader in readers)
    return f"{macs / 1e6:.3g} M MACs ({macs / max(1, sum(found.macs.values())):.1%})"
