"""Losses of class scores against plain numpy, on batches with different numbers of known pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from xvision.tasks.losses import label_loss

Array = np.ndarray[Any, np.dtype[np.float64]]
WEIGHTS = np.array([0.5, 2.0, 1.25, 3.0])


def batch(seed: int, unknown_ratio: float) -> tuple[Tensor, Tensor]:
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 3, (2, 5, 4))  # class 3 never occurs
    labels[draw.random(labels.shape) < unknown_ratio] = 255
    return torch.from_numpy(2 * draw.standard_normal((2, 4, 5, 4))), torch.from_numpy(labels.astype(np.uint8))


def known_rows(scores: Tensor, labels: Tensor) -> tuple[Array, Array]:
    """Probabilities (N, C) and labels (N,) of the known pixels."""
    flat = scores.numpy().transpose(0, 2, 3, 1).reshape(-1, scores.shape[1])
    p = np.exp(flat) / np.exp(flat).sum(1, keepdims=True)
    y = labels.numpy().reshape(-1).astype(int)
    return p[y != 255], y[y != 255]


def cross_entropy(p: Array, y: Array, w: Array) -> float:
    return float(np.mean([-w[c] * math.log(row[c]) for row, c in zip(p, y, strict=True)]))


def smoothed(p: Array, y: Array, w: Array) -> float:
    rest = np.mean([-(w * np.log(row)).mean() for row in p])
    return 0.8 * cross_entropy(p, y, w) + 0.2 * float(rest)


def focal(p: Array, y: Array, w: Array) -> float:
    return float(np.mean([-w[c] * (1 - row[c]) ** 3 * math.log(row[c]) for row, c in zip(p, y, strict=True)]))


def hardest_share(p: Array, y: Array, w: Array) -> float:
    pt = p[np.arange(len(y)), y]
    hard = np.argsort(pt)[: math.ceil(0.3 * len(y))]
    return float(np.mean(-w[y[hard]] * np.log(pt[hard])))


def under_threshold(p: Array, y: Array, w: Array) -> float:
    pt = p[np.arange(len(y)), y]
    hard = pt < 0.4
    assert hard.sum() > 0.1 * len(y)
    return float(np.mean((-w[y] * np.log(pt))[hard]))


def class_mean(values: dict[int, float], w: Array) -> float:
    return sum(w[c] * v for c, v in values.items()) / sum(w[c] for c in values)


def dice(p: Array, y: Array, w: Array) -> float:
    each = {
        int(c): 1 - (2 * p[y == c, c].sum() + 0.5) / (p[:, c].sum() + (y == c).sum() + 0.5)
        for c in np.unique(y)
    }
    return class_mean(each, w)


def lovasz(p: Array, y: Array, w: Array) -> float:
    """The Lovász extension by its definition: sum of e_i (J(first i) - J(first i - 1)), Berman et al., equation 9."""
    each = {}
    for c in np.unique(y):
        truth = y == c
        errors = np.where(truth, 1 - p[:, c], p[:, c])
        order = np.argsort(-errors)

        def jaccard_loss(wrong: set[int], truth: Any = truth) -> float:
            predicted = {i for i, t in enumerate(truth) if bool(t) != (i in wrong)}
            true = set(np.flatnonzero(truth))
            return 1 - len(true & predicted) / len(true | predicted)

        each[int(c)] = sum(
            errors[i] * (jaccard_loss(set(order[: k + 1].tolist())) - jaccard_loss(set(order[:k].tolist())))
            for k, i in enumerate(order)
        )
    return class_mean(each, w)


@pytest.mark.parametrize(
    ("name", "settings", "reference"),
    [
        ("cross_entropy", {}, cross_entropy),
        ("cross_entropy", {"label_smoothing": 0.2}, smoothed),
        ("focal", {"gamma": 3}, focal),
        ("focal", {"gamma": 0}, cross_entropy),
        ("ohem", {"min_share": 0.3, "threshold": 0}, hardest_share),
        ("ohem", {"min_share": 0.1, "threshold": 0.4}, under_threshold),
        ("ohem", {"min_share": 1}, cross_entropy),
        ("dice", {"smooth": 0.5}, dice),
        ("lovasz", {}, lovasz),
    ],
)
@pytest.mark.parametrize("unknown_ratio", [0.0, 0.4, 0.8])
@pytest.mark.parametrize("weights", [np.ones(4), WEIGHTS], ids=["plain", "weighted"])
def test_a_loss_equals_plain_numpy(
    name: str,
    settings: dict[str, Any],
    reference: Callable[..., float],
    unknown_ratio: float,
    weights: Array,
) -> None:
    scores, labels = batch(3, unknown_ratio)
    got = label_loss.part(name, settings).build()(scores, labels, torch.from_numpy(weights))
    assert float(got) == pytest.approx(reference(*known_rows(scores, labels), weights), rel=1e-9)


def test_cross_entropy_by_hand() -> None:
    """Two classes of equal score, weights 1 and 3: (ln 2 + 3 ln 2) / 2 pixels; PyTorch divides by 4."""
    scores, labels = torch.zeros(1, 2, 1, 3), torch.tensor([[[0, 1, 255]]])
    weights = torch.tensor([1.0, 3.0])
    got = label_loss.cross_entropy().build()(scores, labels, weights)
    assert float(got) == pytest.approx(2 * math.log(2))
    torchs = F.cross_entropy(scores, labels, weights, ignore_index=255)
    assert float(torchs) == pytest.approx(math.log(2))


def test_accumulated_batches_equal_the_whole() -> None:
    """Weighted by their known pixels, the parts of a batch add up: what PyTorch's weighted mean does not do."""
    scores, labels = batch(5, 0.3)
    function = label_loss.cross_entropy().build()
    weights = torch.from_numpy(WEIGHTS)
    known = (labels != 255).sum((1, 2)).double()
    parts = torch.stack([function(scores[i : i + 1], labels[i : i + 1], weights) for i in range(2)])
    assert float((parts * known).sum() / known.sum()) == pytest.approx(
        float(function(scores, labels, weights))
    )


def test_focal_by_hand() -> None:
    """Lin et al., ICCV 2017, section 3.2: with gamma 2 a pixel of p = 0.9 costs 100 times less."""
    scores, labels = torch.tensor([[[[math.log(9.0)]], [[0.0]]]]), torch.tensor([[[0]]])
    plain = label_loss.cross_entropy().build()(scores, labels)
    assert float(plain / label_loss.focal().build()(scores, labels)) == pytest.approx(100, rel=1e-4)


def test_focal_below_one_is_finite_at_certainty() -> None:
    scores = torch.tensor([[[[100.0]], [[0.0]]]], requires_grad=True)
    value = label_loss.focal(gamma=0.5).build()(scores, torch.tensor([[[0]]]))
    value.backward()
    assert value.item() == 0
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_ohem_keeps_at_least_its_share_of_easy_pixels() -> None:
    scores = torch.tensor([5.0, 6.0, 7.0, 8.0]).reshape(1, 1, 1, 4)
    scores = torch.cat([scores, torch.zeros_like(scores)], 1)
    got = label_loss.ohem(min_share=0.25, threshold=0.7).build()(
        scores, torch.zeros(1, 1, 4, dtype=torch.long)
    )
    assert float(got) == pytest.approx(math.log1p(math.exp(-5.0)), rel=1e-4)


def test_lovasz_of_hard_predictions_is_one_minus_iou() -> None:
    """Berman et al., section 2: at the corners the extension is the Jaccard loss itself. IoU here 1/3 and 2/4."""
    labels = torch.tensor([[[0, 0, 1, 1, 1]]])
    found = torch.tensor([0, 1, 0, 1, 1])
    scores = 1e3 * F.one_hot(found, 2).T.reshape(1, 2, 1, 5).double()
    got = label_loss.lovasz().build()(scores, labels)
    assert float(got) == pytest.approx(1 - (1 / 3 + 2 / 4) / 2)


def test_dice_by_hand() -> None:
    """Hard predictions, class 0: 2*1/(2+2), class 1: 2*2/(3+3)."""
    labels = torch.tensor([[[0, 0, 1, 1, 1]]])
    scores = 1e3 * F.one_hot(torch.tensor([0, 1, 0, 1, 1]), 2).T.reshape(1, 2, 1, 5).double()
    got = label_loss.dice().build()(scores, labels)
    assert float(got) == pytest.approx(1 - (1 / 2 + 2 / 3) / 2)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        (
            "cross_entropy",
            {"label_smoothing": 1},
            r"cross_entropy\.label_smoothing: expected 0 <= value < 1, got 1",
        ),
        ("focal", {"gamma": -1}, r"focal\.gamma: expected a value >= 0, got -1"),
        ("dice", {"smooth": -1}, r"dice\.smooth: expected a value >= 0, got -1"),
        (
            "ohem",
            {"threshold": 2, "min_share": 0},
            r"ohem\.threshold: expected a probability, 0 <= value <= 1, got 2\.0; "
            r"ohem\.min_share: expected 0 < value <= 1, got 0",
        ),
    ],
)
def test_settings_that_cannot_be(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        label_loss.part(name, settings).build()
