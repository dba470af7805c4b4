"""Several losses of one map, weighted, as named terms to be added up."""

from __future__ import annotations

from torch import Tensor

from xvision.config.weighted import WeightedParts


class WeightedLosses:
    """A task's loss: named scalars, already weighted.

    >>> import torch
    >>> from xvision.config.weighted import weighted_parts_of
    >>> from xvision.tasks.losses import depth_loss
    >>> losses = WeightedLosses(weighted_parts_of(depth_loss).parse("l1:0.5,l2"))
    >>> losses(torch.full((1, 1, 2, 2), 3.0), torch.full((1, 2, 2), 1.0))
    {'l1': tensor(1.), 'l2': tensor(4.)}
    """

    def __init__(self, terms: WeightedParts) -> None:
        self.names = terms.names
        self._terms = [(term.name, term.weight, term.part.build()) for term in terms]

    def __call__(self, prediction: Tensor, target: Tensor, *more: Tensor | None) -> dict[str, Tensor]:
        """`more` is what the kind of map has besides: class weights (C,)."""
        return {name: weight * loss(prediction, target, *more) for name, weight, loss in self._terms}
