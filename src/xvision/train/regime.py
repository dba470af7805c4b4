"""How a network is trained, beside what the settings say: what moves at which rate, and what is done between steps."""

from __future__ import annotations

from typing import Any

from torch import nn

from xvision.train.optimizers import parameter_groups
from xvision.train.settings import Train


class Regime:
    """That of a float network. Another one overrides what differs; it keeps no state that is not in the network's."""

    def groups(self, model: nn.Module, settings: Train) -> list[dict[str, Any]]:
        """Groups of parameters as an optimizer takes them; the rate of the first is the one that is logged."""
        return parameter_groups(model.parameters(), settings.decay)

    def rate(self, group: dict[str, Any], progress: float) -> float:
        """What multiplies the learning rate for a group when a share of the steps is done."""
        return 1.0

    def before_step(self, model: nn.Module, step: int, num_steps: int) -> None:
        """What is done to the network before step number `step`, counted from 0; a resumed training does it again."""


PLAIN = Regime()
