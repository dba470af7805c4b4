"""Class weights by hand, and counting over a split."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from xvision.data.dataset import DataError, Sample, Split
from xvision.tasks import task
from xvision.tasks.class_weights import LabelCounts, balanced, count_labels, inverse_log, median_frequency

U = 255
MAPS = (
    np.array([[0, 0, 0, 1]], np.uint8),
    np.array([[0, U], [2, 2]], np.uint8),  # of another size
    np.array([[U, U]], np.uint8),
)


def load(maps: tuple[np.ndarray, ...], index: int) -> Sample:  # type: ignore[type-arg]
    return {"segmentation": maps[index]} if len(maps[index]) else {"image": np.zeros((1, 1, 3), np.uint8)}


def split(*maps: np.ndarray) -> Split:  # type: ignore[type-arg]
    return Split(tuple(f"image {i}" for i in range(len(maps))), partial(load, maps), lambda: "")


def test_counts_by_hand() -> None:
    counts = count_labels(split(*MAPS), "segmentation", 4)
    assert counts.of_class.tolist() == [4, 1, 2, 0]
    assert counts.around.tolist() == [4 + 3, 4, 3, 0]  # known pixels alone


def test_samples_without_the_field_are_passed_over() -> None:
    without = np.zeros((0,), np.uint8)
    assert count_labels(split(MAPS[0], without), "segmentation", 2).of_class.tolist() == [3, 1]


def test_counts_of_parts_add_up() -> None:
    whole = count_labels(split(*MAPS), "segmentation", 3)
    parts = count_labels(split(MAPS[0]), "segmentation", 3) + count_labels(split(MAPS[1]), "segmentation", 3)
    assert np.array_equal(whole.of_class, parts.of_class)
    assert np.array_equal(whole.around, parts.around)


def test_median_frequency_by_hand() -> None:
    """Shares 4/7, 1/4, 2/3 of the images where a class occurs: the median is 4/7."""
    weights = median_frequency(count_labels(split(*MAPS), "segmentation", 4))
    assert weights.tolist() == pytest.approx([1, 16 / 7, 6 / 7, 1])


def test_median_frequency_of_moving_pixels() -> None:
    """The original system's motion weights 0.515 and 16.94: with two classes in every image 1/w0 + 1/w1 = 2."""
    assert sum((1 / 0.515, 1 / 16.94)) == pytest.approx(2, abs=1e-3)
    moving = 1 / (2 * 16.94)
    counts = np.array([round((1 - moving) * 1e6), round(moving * 1e6)])
    weights = median_frequency(LabelCounts(counts, np.array([10**6, 10**6])))
    assert weights.tolist() == pytest.approx([0.515, 16.94], rel=1e-3)


def test_inverse_log_by_hand() -> None:
    """Paszke et al., ENet, 2016: c = 1.02 bounds the weights to 1 to 50."""
    weights = inverse_log(LabelCounts(np.array([75, 25, 0]), np.array([100, 100, 0])))
    assert weights.tolist() == pytest.approx([1 / math.log(1.77), 1 / math.log(1.27), 1 / math.log(1.02)])
    with pytest.raises(ValueError, match=r"inverse_log: expected c > 1 .* got 1"):
        inverse_log(LabelCounts(np.array([1]), np.array([1])), c=1.0)


def test_ids_that_are_no_class_and_splits_without_labels() -> None:
    wrong = np.array([[0, 7]], np.uint8)
    with pytest.raises(DataError, match=r"image 1: segmentation has the id 7; expected 0 to 2, or 255"):
        count_labels(split(MAPS[0], wrong), "segmentation", 3)
    with pytest.raises(DataError, match=r"segmentation: none of 1 samples has a known pixel"):
        count_labels(split(MAPS[2]), "segmentation", 3)


def test_a_task_counts_the_labels_of_its_training_split() -> None:
    """Shares 4/7, 1/4, 2/3; the fourth class never occurs, which the line says."""
    classes = {"segmentation": ("road", "sky", "car", "bicycle")}
    made = task.segmentation(class_balance="median_frequency").build(classes)
    line = made.prepare(split(*MAPS))
    assert line == (
        "class weights of segmentation (median_frequency, 3 samples): road 1, sky 2.29, car 0.857, "
        "bicycle 1 (never occurs)"
    )
    out = {"segmentation": torch.zeros(1, 4, 1, 2)}
    by_hand = task.segmentation(class_weights=(1, 16 / 7, 6 / 7, 1)).build(classes)
    batch = {"segmentation": torch.tensor([[[0, 1]]], dtype=torch.uint8)}
    weighted, expected = (float(t.loss(out, batch)["cross_entropy"]) for t in (made, by_hand))
    assert weighted == pytest.approx(expected)
    assert by_hand.prepare(split(*MAPS)) == ""


def test_the_two_balances_are_the_two_formulas() -> None:
    names = ("a", "b", "c")
    counts = count_labels(split(*MAPS), "segmentation", 3)
    for balance, formula in (("median_frequency", median_frequency), ("inverse_log", inverse_log)):
        weights, _ = balanced(balance, split(*MAPS), "segmentation", names)  # type: ignore[arg-type]
        assert torch.equal(weights, formula(counts))


def test_weights_by_hand_and_a_balance_are_one_too_many() -> None:
    both = task.segmentation(class_weights=(1.0, 2.0), class_balance="inverse_log")
    with pytest.raises(
        ValueError,
        match=r"task\.class_balance: 'inverse_log' counts .* task\.class_weights are given too; keep one",
    ):
        both.build({"segmentation": ("a", "b")})
