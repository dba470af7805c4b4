"""Class weights from how often each class occurs, for labels in which some classes are rare.

`count_labels` reads the label maps of a split once; the weights are arithmetic on its counts. `balanced` is both, for
the `prepare` of a task.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from xvision.data.dataset import DataError, Split
from xvision.fields import FIELDS

Counts = np.ndarray[Any, np.dtype[np.int64]]
Balance = Literal["none", "median_frequency", "inverse_log"]


@dataclass(frozen=True)
class LabelCounts:
    """Known pixels per class: `of_class` (C,), and all known pixels of the images where it occurs, `around` (C,)."""

    of_class: Counts
    around: Counts

    def __add__(self, other: LabelCounts) -> LabelCounts:
        return LabelCounts(self.of_class + other.of_class, self.around + other.around)


def count_labels(split: Split, field: str, num_classes: int) -> LabelCounts:
    """Count the pixels of each class over a split; samples without the field are passed over.

    Cost: one pass that decodes every sample; `split.take(range(0, len(split), 10))` looks at a tenth.
    Raises: DataError naming the sample for an id that is no class, and if no sample has a known pixel.
    """
    unknown = int(FIELDS[field].fill)
    of_class, around = np.zeros(num_classes, np.int64), np.zeros(num_classes, np.int64)
    for i, name in enumerate(split.names):
        labels = split.load(i).get(field)
        if labels is None:
            continue
        counts = np.bincount(labels.reshape(-1), minlength=256)
        counts[unknown] = 0
        if (largest := int(counts.nonzero()[0].max(initial=0))) >= num_classes:
            raise DataError(
                f"{name}: {field} has the id {largest}; expected 0 to {num_classes - 1}, or {unknown} for unknown"
            )
        counts = counts[:num_classes]
        of_class += counts
        around += np.where(counts > 0, counts.sum(), 0)
    if not of_class.any():
        raise DataError(
            f"{field}: none of {len(split)} samples has a known pixel, so there are no class weights"
        )
    return LabelCounts(of_class, around)


def median_frequency(counts: LabelCounts) -> Tensor:
    """Weights (C,) median(f) / f, f being a class's share of the pixels of the images where it occurs.

    Source: Eigen and Fergus, Predicting Depth, Surface Normals and Semantic Labels, ICCV 2015, section 4.3. The median
    is over the classes that occur; unknown pixels are in no total. The paper says nothing of a class that never occurs,
    for which f is 0 / 0: it gets 1 and not 0, which changes no pixel's loss (no pixel has that class) and keeps the
    weights usable on data where it does occur.

    >>> half = LabelCounts(np.array([90, 10, 0]), np.array([100, 50, 0]))
    >>> median_frequency(half)  # f is 0.9 and 0.2, their median 0.55
    tensor([0.6111, 2.7500, 1.0000])
    """
    occurs = counts.of_class > 0
    share = counts.of_class[occurs] / counts.around[occurs]
    weights = np.ones(len(occurs))
    weights[occurs] = np.median(share) / share
    return torch.from_numpy(weights).float()


def inverse_log(counts: LabelCounts, c: float = 1.02) -> Tensor:
    """Weights (C,) 1 / ln(c + p), p being a class's share of all pixels: between 1.4 and 50.5 for c = 1.02.

    Source: Paszke et al., ENet, 2016, section 4 (experiments, "class weighting").

    >>> inverse_log(LabelCounts(np.array([100, 0]), np.array([100, 0])))
    tensor([ 1.4223, 50.4983])
    """
    if c <= 1:
        raise ValueError(
            f"inverse_log: expected c > 1 so that a class that never occurs has a weight, got {c}"
        )
    share = counts.of_class / max(int(counts.of_class.sum()), 1)
    return torch.from_numpy(1 / np.log(c + share)).float()


def check_balance(class_balance: Balance, class_weights: Sequence[float], classes: Sequence[str]) -> None:
    """Refuse weights by hand that are not one for each class, or that are given together with a balance."""
    if class_weights and class_balance != "none":
        raise ValueError(
            f"task.class_balance: '{class_balance}' counts the weights itself, but task.class_weights are given too; "
            "keep one of the two"
        )
    if class_weights and len(class_weights) != len(classes):
        raise ValueError(
            f"task.class_weights: expected {len(classes)} weights, one for each class, got {len(class_weights)}"
        )


def balanced(balance: Balance, split: Split, field: str, classes: Sequence[str]) -> tuple[Tensor, str]:
    """Weights (C,) counted from the labels of a split, and a line that says them.

    Raises: DataError as `count_labels` does.
    """
    assert balance != "none"
    counts = count_labels(split, field, len(classes))
    weights = median_frequency(counts) if balance == "median_frequency" else inverse_log(counts)
    pairs = zip(classes, weights.tolist(), counts.of_class, strict=True)
    said = ", ".join(
        f"{name} {weight:.3g}" + ("" if count else " (never occurs)") for name, weight, count in pairs
    )
    return weights, f"class weights of {field} ({balance}, {len(split)} samples): {said}"
