"""Random numbers as functions of their key."""

from __future__ import annotations

import numpy as np

from xvision.data.rng import Purpose, permutation, seeds, uniforms


def test_a_sample_gets_the_same_numbers_in_any_batch():
    together = uniforms(7, 3, np.array([5, 9, 2]), Purpose.PLACE, count=4)
    alone = uniforms(7, 3, np.array([9]), Purpose.PLACE, count=4)
    assert together.shape == (3, 4)
    assert (together[1] == alone[0]).all()


def test_every_part_of_the_key_matters():
    indices = np.arange(50)
    keys = [
        (0, 0, indices, 0),
        (1, 0, indices, 0),
        (0, 1, indices, 0),
        (0, 0, indices + 50, 0),
        (0, 0, indices, 1),
    ]
    drawn = np.stack([uniforms(*key, count=3) for key in keys])
    assert len(np.unique(drawn)) == drawn.size


def test_numbers_are_even_and_uncorrelated():
    drawn = uniforms(0, 0, np.arange(20000), Purpose.PLACE, count=4)
    assert drawn.min() >= 0
    assert drawn.max() < 1
    assert np.abs(np.histogram(drawn, 20)[0] / drawn.size - 0.05).max() < 0.002
    correlation = np.corrcoef(np.concatenate([drawn, np.roll(drawn, 1, axis=0)], axis=1).T) - np.eye(8)
    assert np.abs(correlation).max() < 0.03


def test_numbers_are_those_of_splitmix64():
    # The first output of SplitMix64 seeded with 0, in the reference program of S. Vigna (2015).
    assert seeds(0)[0] == 0xE220A8397B1DCDAF >> 1


def test_a_permutation_holds_everything_once_and_changes_by_epoch():
    orders = [permutation(0, epoch, Purpose.ORDER, count=1000) for epoch in (0, 1)]
    assert all((np.sort(order) == np.arange(1000)).all() for order in orders)
    assert (orders[0] != orders[1]).mean() > 0.9
    assert (permutation(0, 1, Purpose.ORDER, count=1000) == orders[1]).all()


def test_negative_and_large_seeds_work():
    assert len({tuple(seeds(seed, np.arange(3))) for seed in (-1, 0, 2**40)}) == 3
