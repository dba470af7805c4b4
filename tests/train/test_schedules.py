from __future__ import annotations

import itertools

import pytest

from xvision.train.schedules import factor, schedule


@pytest.mark.parametrize("name", sorted(schedule.builders()))
def test_every_schedule_starts_at_one_and_never_rises(name: str) -> None:
    at = schedule.part(name).build(10.0)
    values = [at(epoch / 7) for epoch in range(71)]
    assert values[0] == 1
    assert all(0 <= b <= a for a, b in itertools.pairwise(values))


def test_cosine_and_poly_end_where_they_should() -> None:
    assert schedule.cosine(final=0.01).build(3.0)(3.0) == pytest.approx(0.01)
    assert schedule.poly(power=0.9).build(3.0)(3.0) == 0
    assert schedule.poly().build(2.0)(2.0000001) == 0  # beyond the end by rounding: not a complex number


def test_warmup_is_linear_and_leaves_the_rest_alone() -> None:
    cosine = schedule.cosine().build(10.0)
    flat = schedule.constant().build(10.0)
    assert [factor(flat, done, 5, 2.0) for done in range(10)] == pytest.approx(
        [(n + 1) / 10 for n in range(10)]
    )
    assert factor(cosine, 30, 5, 2.0) == cosine(6.0)
    assert factor(cosine, 0, 5, 0.0) == 1


@pytest.mark.parametrize("milestones", [(0.5, 0.2), (0.5, 1.5), (0.0, 0.5)])
def test_milestones_are_growing_fractions(milestones: tuple[float, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"train\.schedule\.milestones: expected growing fractions .* got \(0"
    ):
        schedule.step(milestones=milestones).build(10.0)
