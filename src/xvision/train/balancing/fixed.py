"""Weights that someone chose."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xvision.config.messages import nearest
from xvision.train.balancing import balancing
from xvision.train.balancing.contract import Balancing


@balancing
def fixed(tasks: Sequence[str], *, weights: tuple[str, ...] = ()) -> Balancing:
    """Constant weights: 1, or what `weights` says in texts like "depth:0.5"."""
    return Fixed(tasks, weights)


class Fixed(Balancing):
    """The sum of the losses times constants."""

    watches = False

    def __init__(self, tasks: Sequence[str], weights: Sequence[str]) -> None:
        super().__init__(tasks)
        problems: list[str] = []
        named: set[str] = set()
        for text in weights:
            name, _, number = text.partition(":")
            try:
                value = float(number)
            except ValueError:
                value = math.nan
            if name not in tasks:
                problems.append(f"no task is called '{name}'; {nearest(name, tasks)}")
            elif name in named:
                problems.append(f"'{name}' is named twice")
            elif not 0 <= value < math.inf:
                problems.append(f"'{text}': expected task:weight with a weight >= 0, for example {name}:0.5")
            else:
                named.add(name)
                self.weights[self.tasks.index(name)] = value
        if problems:
            raise ValueError("; ".join(f"train.balancing.weights: {problem}" for problem in problems))
