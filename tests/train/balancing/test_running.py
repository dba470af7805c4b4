"""The original system's three variants of grad-norm against plain numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from xvision.train.balancing import balancing

Array = np.ndarray[Any, np.dtype[np.float64]]
FACTORS = {"norm_factor": 0.1, "short_factor": 0.2, "long_factor": 0.05}


def reference(name: str, losses: Array, norms: Array, alpha: float, lr: float) -> list[Array]:
    """Weights after each step, from losses and gradient norms (steps, T)."""
    num_tasks = losses.shape[1]
    s = np.ones(num_tasks)
    size = short = long = None
    result = []
    for loss, norm in zip(losses, norms, strict=True):
        g = norm if name == "naive_gradnorm" else s * norm
        size = g if size is None else 0.9 * size + 0.1 * g
        short = loss if short is None else 0.8 * short + 0.2 * loss
        long = loss if long is None else 0.95 * long + 0.05 * loss
        r = short / long
        if name == "naive_gradnorm":
            s = size.mean() / size * r
        else:
            share = r / r.sum() if name == "pseudo_gradnorm" else np.exp(r) / np.exp(r).sum()
            target = size.mean() * share**alpha
            s = s + lr * s * (target / size - 1)
        s = s * num_tasks / s.sum()
        result.append(s)
    return result


@pytest.mark.parametrize("name", ["pseudo_gradnorm", "dwa_gradnorm", "naive_gradnorm"])
def test_weights_follow_the_formula(name: str) -> None:
    settings: dict[str, Any] = dict(FACTORS)
    if name != "naive_gradnorm":
        settings |= {"alpha": 0.75, "lr": 0.1}
    balance = balancing.part(name, settings).build(("a", "b", "c"))
    draw = np.random.default_rng(0)
    losses, norms = draw.uniform(1, 3, (20, 3)), draw.uniform(0.5, 4, (20, 3))
    for loss, norm, expected in zip(losses, norms, reference(name, losses, norms, 0.75, 0.1), strict=True):
        w = torch.zeros(1, dtype=torch.float64, requires_grad=True)
        terms = {t: v + n * w.sum() for t, v, n in zip("abc", loss.tolist(), norm.tolist(), strict=True)}
        balance.combine(terms, [w])
        balance.step()
        assert balance.weights.tolist() == pytest.approx(expected.tolist(), rel=1e-4)


def test_the_first_step_of_pseudo_gradnorm_by_hand() -> None:
    """Norms 3 and 1, mean 2, shares 1/2 each: targets 2 * 0.5^0.75 = 1.1892; factors 1 + 0.1 (target / norm - 1)."""
    balance = balancing.pseudo_gradnorm(lr=0.1).build(("a", "b"))
    w = torch.ones(1, requires_grad=True)
    balance.combine({"a": 3 * w.sum(), "b": w.sum()}, [w])
    balance.step()
    a, b = 1 + 0.1 * (1.189207 / 3 - 1), 1 + 0.1 * (1.189207 - 1)
    assert balance.weights.tolist() == pytest.approx([2 * a / (a + b), 2 * b / (a + b)], rel=1e-5)


def test_naive_gradnorm_makes_gradients_equal_at_once() -> None:
    balance = balancing.naive_gradnorm().build(("a", "b"))
    w = torch.ones(1, requires_grad=True)
    balance.combine({"a": 3 * w.sum(), "b": w.sum()}, [w])
    balance.step()
    assert balance.weights.tolist() == pytest.approx([0.5, 1.5], rel=1e-5)


def test_slow_averages_keep_their_digits() -> None:
    """A long average of factor 1e-6 would stand still in single precision."""
    balance = balancing.pseudo_gradnorm().build(("a",))
    w = torch.ones(1, requires_grad=True)
    for value in (1.0, 1.01):
        balance.combine({"a": value * w.sum()}, [w])
        balance.step()
    assert balance.long.item() - 1 == pytest.approx(1e-8, rel=1e-5)


@pytest.mark.parametrize("name", ["pseudo_gradnorm", "dwa_gradnorm", "naive_gradnorm"])
def test_factors_that_cannot_be(name: str) -> None:
    message = (
        r"train\.balancing\.norm_factor: expected 0 < value <= 1, got 0\.0; "
        r"train\.balancing\.long_factor: expected 0 < value <= 1, got 2"
    )
    with pytest.raises(ValueError, match=message):
        balancing.part(name, {"norm_factor": 0, "long_factor": 2}).build(("a", "b"))


@pytest.mark.parametrize("name", ["pseudo_gradnorm", "dwa_gradnorm"])
def test_rates_that_cannot_be(name: str) -> None:
    message = (
        r"train\.balancing\.alpha: expected a value >= 0, got -1\.0; "
        r"train\.balancing\.lr: expected 0 < value <= 1, got 0"
    )
    with pytest.raises(ValueError, match=message):
        balancing.part(name, {"alpha": -1, "lr": 0}).build(("a", "b"))
