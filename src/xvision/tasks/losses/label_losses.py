"""Losses of maps of class scores.

A loss takes scores (B, C, H, W), labels (B, H, W) of class ids with 255 for unknown, and, if there are any, class
weights (C,) on the device of the scores; it gives a scalar. Unknown pixels neither count nor pull. Sums run over the
whole batch, so that a pixel counts the same in whichever image it lies; a batch without a known pixel gives 0.

**Class weights.** A pixel's loss is multiplied by the weight of its class and the *plain* number of known pixels
divides: `sum_i w[y_i] l_i / N`. PyTorch divides by `sum_i w[y_i]`; there a pixel's pull depends on which other classes
happen to be in the batch, and gradient accumulation over small batches differs from one large batch. Losses that are
one number per class (dice, lovasz) weight the classes that occur: `sum_c w_c l_c / sum_c w_c`.
"""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from xvision.fields import UNKNOWN
from xvision.tasks.losses import label_loss
from xvision.tasks.losses.masked import masked_mean, precise


class LabelLoss(Protocol):
    """Scores (B, C, H, W), labels (B, H, W), weights (C,) or None -> scalar."""

    def __call__(self, scores: Tensor, labels: Tensor, class_weights: Tensor | None = None, /) -> Tensor: ...


def _checked(scores: Tensor, labels: Tensor, weights: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
    """Scores at full precision, labels as int64 and weights in the type of the scores."""
    assert scores.ndim == 4, scores.shape
    assert labels.shape == (len(scores), *scores.shape[2:]), (scores.shape, labels.shape)
    assert weights is None or weights.shape == scores.shape[1:2], (weights, scores.shape)
    scores = precise(scores)
    return scores, labels.long(), None if weights is None else weights.to(scores.dtype)


def _pixel_cross_entropy(scores: Tensor, labels: Tensor) -> Tensor:
    """-log p of the labelled class, (B, H, W); 0 at unknown pixels."""
    return F.cross_entropy(scores, labels, ignore_index=UNKNOWN, reduction="none")


def _pixel_weights(labels: Tensor, weights: Tensor | None) -> Tensor | float:
    return 1.0 if weights is None else weights[labels.masked_fill(labels == UNKNOWN, 0)]


def _one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """(B, C, H, W) of booleans, all false at unknown pixels."""
    return labels[:, None] == torch.arange(num_classes, device=labels.device)[:, None, None]


def _class_mean(values: Tensor, present: Tensor, weights: Tensor | None) -> Tensor:
    """Weighted mean of one value per class over the classes that are present; 0 if none is."""
    shares = present.to(values.dtype) if weights is None else present * weights
    total = shares.sum()
    return (values * shares).sum() / torch.where(total > 0, total, 1)


@label_loss
def cross_entropy(*, label_smoothing: float = 0.0) -> LabelLoss:
    """Cross-entropy of the softmax, mean over known pixels.

    Source: label smoothing of Szegedy et al., Rethinking the Inception Architecture, CVPR 2016, section 7; with class
    weights each of its class terms has the weight of its own class, as in PyTorch. The original system applies class
    weights in a random fifth of its steps and counts unknown pixels in the divisor; here weights always apply.
    """
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"cross_entropy.label_smoothing: expected 0 <= value < 1, got {label_smoothing}")

    def of(scores: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
        scores, labels, weights = _checked(scores, labels, class_weights)
        total = F.cross_entropy(
            scores,
            labels,
            weights,
            ignore_index=UNKNOWN,
            reduction="sum",
            label_smoothing=label_smoothing,
        )
        return total / (labels != UNKNOWN).sum().clamp(min=1)

    return of


@label_loss
def focal(*, gamma: float = 2.0) -> LabelLoss:
    """Cross-entropy that fades for pixels the network is already sure of: (1 - p)^gamma times -log p.

    Source: Lin et al., Focal Loss for Dense Object Detection, ICCV 2017, equations 4 and 5; alpha is the class weight.
    They divide by the number of positive anchors, we by the known pixels.
    """
    if gamma < 0:
        raise ValueError(f"focal.gamma: expected a value >= 0, got {gamma}")

    def of(scores: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
        scores, labels, weights = _checked(scores, labels, class_weights)
        nll = _pixel_cross_entropy(scores, labels)
        doubt = -torch.expm1(-nll)  # 1 - p, exact for p near 1
        # the floor: below gamma 1 the slope of the power at 0 is infinite, and infinity times nll 0 is NaN
        pixels = doubt.clamp(min=1e-12) ** gamma * nll
        return masked_mean(pixels * _pixel_weights(labels, weights), labels != UNKNOWN)

    return of


@label_loss
def ohem(*, min_share: float = 0.0625, threshold: float = 0.7) -> LabelLoss:
    """Cross-entropy of hard pixels only: those whose class has a probability under `threshold`, at least `min_share`.

    The hardest `min_share` of the known pixels (rounded up) are kept in any case; `threshold=0` keeps just them,
    `min_share=1` all. Class weights multiply the kept pixels and do not change which are kept.

    Cost: one sort of all pixels of the batch.
    Source: Shrivastava et al., Training Region-based Object Detectors with Online Hard Example Mining, CVPR 2016,
    section 4, for pixels as in Yuan et al., OCNet, 2018, experiments (threshold 0.7; their least number, 100000 of a
    batch of eight crops of 769x769, is a fixed count, ours a share, so that it means the same at every size).
    """
    problems = []
    if not 0 <= threshold <= 1:
        problems.append(f"ohem.threshold: expected a probability, 0 <= value <= 1, got {threshold}")
    if not 0 < min_share <= 1:
        problems.append(f"ohem.min_share: expected 0 < value <= 1, got {min_share}")
    if problems:
        raise ValueError("; ".join(problems))

    def of(scores: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
        scores, labels, weights = _checked(scores, labels, class_weights)
        nll, known = _pixel_cross_entropy(scores, labels), labels != UNKNOWN
        hardness = torch.where(known, nll.detach(), -1).flatten()
        order = hardness.argsort(descending=True, stable=True)
        num_least = (known.sum() * min_share).ceil()
        hard = torch.arange(len(order), device=order.device) < num_least
        hard |= torch.exp(-hardness[order]) < threshold
        kept = torch.zeros_like(hard).scatter(0, order, hard).view_as(known) & known
        return masked_mean(nll * _pixel_weights(labels, weights), kept)

    return of


@label_loss
def dice(*, smooth: float = 0.0) -> LabelLoss:
    """One minus the overlap of probabilities and labels, 2 |p y| / (|p| + |y|), mean over the classes that occur.

    Source: Milletari et al., V-Net, 3DV 2016, section 3, with the softmax over all classes and |p| in place of |p|^2.
    A class that no label of the batch has is left out: it has no overlap to gain. `smooth` is added to both sides.
    """
    if smooth < 0:
        raise ValueError(f"dice.smooth: expected a value >= 0, got {smooth}")

    def of(scores: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
        scores, labels, weights = _checked(scores, labels, class_weights)
        p = scores.softmax(1) * (labels != UNKNOWN)[:, None]
        is_class = _one_hot(labels, scores.shape[1])
        num_pixels = is_class.sum((0, 2, 3))
        present = num_pixels > 0
        both = torch.where(is_class, p, 0).sum((0, 2, 3))
        size = torch.where(present, p.sum((0, 2, 3)) + num_pixels, 1)
        return _class_mean(1 - (2 * both + smooth) / (size + smooth), present, weights)

    return of


@label_loss
def lovasz() -> LabelLoss:
    """Lovász-softmax: the Jaccard index (IoU) made continuous, mean over the classes that occur.

    Cost: one sort of all pixels per class; slow on a CPU from about a million pixels times classes on.
    Source: Berman et al., The Lovász-Softmax Loss, CVPR 2018, algorithm 1 and equation 12 ("classes present"), over
    the batch and not per image. The sort is of detached errors: its slopes are constants of the sum, which gives the
    same gradient and keeps no sorted copy in memory.
    """

    def of(scores: Tensor, labels: Tensor, class_weights: Tensor | None = None) -> Tensor:
        scores, labels, weights = _checked(scores, labels, class_weights)
        known = (labels != UNKNOWN).flatten()
        p, is_class = scores.softmax(1), _one_hot(labels, scores.shape[1])
        errors = torch.where(is_class, 1 - p, p).transpose(0, 1).flatten(1)  # (C, B*H*W)
        is_class = is_class.transpose(0, 1).flatten(1)
        pairs = zip(errors, is_class, strict=True)
        values = torch.stack([(e * _lovasz_slopes(e.detach(), y, known)).sum() for e, y in pairs])
        return _class_mean(values, is_class.any(1), weights)

    return of


def _lovasz_slopes(errors: Tensor, is_class: Tensor, known: Tensor) -> Tensor:
    """What each pixel adds to the Jaccard loss when it joins those with larger errors; 0 at unknown pixels."""
    order = torch.where(known, errors, -1).argsort(descending=True, stable=True)
    hit = is_class[order].to(errors.dtype)
    counted = known[order].to(errors.dtype)
    total = hit.sum()
    jaccard = 1 - (total - hit.cumsum(0)) / (total + (counted - hit).cumsum(0)).clamp(min=1)
    slopes = jaccard.diff(prepend=jaccard.new_zeros(1)) * counted
    return torch.zeros_like(slopes).scatter(0, order, slopes)
