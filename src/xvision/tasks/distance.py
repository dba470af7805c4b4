"""How far outputs are from those of a teacher, which needs no labels.

Source of the divergence: Hinton et al., "Distilling the Knowledge in a Neural Network" (2015), section 2.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from xvision.models.outputs import CLASS_SCORES, PIXEL_SCORES, OutputSpec, tensor_names
from xvision.tasks.metrics.contract import Outputs


def divergence(scores: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """Kullback-Leibler divergence of class scores (B, C, …) from a teacher's, in nats, the mean over all but classes.

    Scores are divided by the temperature, and the result multiplied by its square, so that gradients stay as large.
    """
    ours, theirs = ((s / temperature).log_softmax(dim=1) for s in (scores, wanted))
    count = scores.numel() // scores.shape[1]
    return F.kl_div(ours, theirs, reduction="sum", log_target=True) * (temperature**2 / count)


def distance(
    outputs: Iterable[OutputSpec], out: Outputs, teacher: Outputs, temperature: float = 1.0
) -> Tensor:
    """The sum over outputs: the divergence of class scores, the mean absolute difference of all others."""
    terms = [
        divergence(out[name], teacher[name], temperature)
        if spec.reading in (CLASS_SCORES, PIXEL_SCORES)
        else F.l1_loss(out[name], teacher[name])
        for spec in outputs
        for name in tensor_names([spec])
    ]
    return torch.stack(terms).sum()
