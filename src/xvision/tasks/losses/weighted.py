"""Several losses of one map, weighted and added up, written as short texts that a command line can hold.

A text is ``name``, ``name:weight`` or ``name:weight:key=value:…``, for example ``focal:0.5:gamma=3``; a task's setting
is a tuple of them: ``task.losses=cross_entropy,dice:0.5``. The original system's depth loss is `ORIGINAL_DEPTH`, its
names are taken for ours (`ORIGINAL_NAMES`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from xvision.config.messages import nearest
from xvision.config.parts import Part
from xvision.tasks.losses import loss

Kind = Literal["label", "depth", "flow"]

ORIGINAL_NAMES = {
    "segmentation_loss": "cross_entropy",
    "supervised_loss": "smooth_l1",
    "supervised_error": "smooth_l1",
    "smooth_l1_norm_loss": "smooth_l1",
    "supervised_l1_loss": "l1",
    "charbonnier_loss": "charbonnier",
    "root_mean_squared_error": "rmse",
    "supervised_relative_error": "relative",
    "supervised_error_var": "error_variance",
    "supervised_error_std": "error_variance:root=true",
    "scale_loss": "mean_scale",
    "charbonnier_scale_loss": "mean_scale",
    "scale_abs_loss": "mean_scale:penalty=l1",
    "end_point_loss": "end_point",
    "end_point_error": "end_point",
}
"""What the original system calls a loss, and ours: its names are taken too."""
ORIGINAL_DEPTH = ("smooth_l1:0.125", "mean_scale:0.125", "error_variance:4.0")


@dataclass(frozen=True)
class Term:
    """One loss of a sum."""

    part: Part
    weight: float


def parse_terms(texts: Iterable[str], kind: Kind, where: str = "task.losses") -> tuple[Term, ...]:
    """The terms that `texts` name.

    Raises: ValueError listing every text that is wrong.

    >>> [(t.part.name, t.weight) for t in parse_terms(["cross_entropy", "focal:0.5:gamma=3"], "label")]
    [('cross_entropy', 1.0), ('focal', 0.5)]
    """
    terms: list[Term] = []
    problems: list[str] = []
    for text in texts:
        try:
            term = _parse(text, kind)
            if term.part.name in {t.part.name for t in terms}:
                raise ValueError(f"'{term.part.name}' is named twice; add up the weights")
            terms.append(term)
        except ValueError as e:
            problems.append(f"{where}: {e}")
    if not terms and not problems:
        problems.append(f"{where}: expected at least one loss, got none; {nearest('', names_of(kind))}")
    if problems:
        raise ValueError("; ".join(problems))
    return tuple(terms)


def names_of(kind: Kind) -> list[str]:
    """The losses for one kind of map (and those registered from outside, of which the kind is not known).

    >>> names_of("flow")
    ['end_point']
    """
    other = {f"xvision.tasks.losses.{k}_losses" for k in ("label", "depth", "flow") if k != kind}
    return sorted(name for name, builder in loss.builders().items() if builder.module not in other)


def _parse(text: str, kind: Kind) -> Term:
    name, *rest = text.split(":")
    name, *own = ORIGINAL_NAMES.get(name, name).split(":")
    weight = 1.0
    if rest and "=" not in rest[0]:
        number = rest.pop(0)
        try:
            weight = float(number)
        except ValueError:
            weight = math.nan
        if not 0 < weight < math.inf:
            raise ValueError(f"'{text}': expected a weight > 0 after the name, got '{number}'")
    if wrong := [r for r in rest if "=" not in r]:
        raise ValueError(f"'{text}': expected name:weight:key=value, got '{wrong[0]}' for key=value")
    if name in loss.builders() and name not in names_of(kind):
        raise ValueError(f"'{name}' is no loss of a {kind} map; known: {', '.join(names_of(kind))}")
    if name not in loss.builders():
        raise ValueError(f"no loss is called '{name}'; {nearest(name, names_of(kind))}")
    settings = {key: value for key, _, value in (r.partition("=") for r in (*own, *rest))}
    return Term(loss.part(name, settings), weight)


class WeightedLosses:
    """A task's loss: named scalars, already weighted, to be added up.

    >>> import torch
    >>> losses = WeightedLosses(["l1:0.5", "l2"], "depth")
    >>> losses(torch.full((1, 1, 2, 2), 3.0), torch.full((1, 2, 2), 1.0))
    {'l1': tensor(1.), 'l2': tensor(4.)}
    """

    def __init__(self, texts: Iterable[str], kind: Kind, where: str = "task.losses") -> None:
        self.terms = parse_terms(texts, kind, where)
        self._losses: list[Callable[..., Tensor]] = [term.part.build() for term in self.terms]

    @property
    def names(self) -> tuple[str, ...]:
        """The terms, in the order of their texts."""
        return tuple(term.part.name for term in self.terms)

    def __call__(self, prediction: Tensor, target: Tensor, *more: Tensor | None) -> dict[str, Tensor]:
        """`more` is what the kind of map has besides: class weights (C,), or where flow is known (B, H, W)."""
        return {
            term.part.name: term.weight * function(prediction, target, *more)
            for term, function in zip(self.terms, self._losses, strict=True)
        }
