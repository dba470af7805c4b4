"""Depth errors: by hand and against plain numpy, per pixel over the split, at the label's own resolution."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from xvision.tasks.metrics.depth import RANGES, DepthMetric

Array = np.ndarray[Any, np.dtype[np.float64]]


def scores(prediction: Any, depth: Any) -> dict[str, float]:
    m = DepthMetric()
    m.update({"depth": torch.as_tensor(prediction)}, {"depth": torch.as_tensor(depth)})
    return m.compute()


def reference(predictions: list[Array], depths: list[Array]) -> dict[str, float]:
    x = np.concatenate([p[d > 0] for p, d in zip(predictions, depths, strict=True)])
    y = np.concatenate([d[d > 0] for d in depths])

    def abs_rel(low: float, high: float, weight: float = 1.0) -> float:
        inside = y > low
        a, b = np.minimum(x[inside], high), np.minimum(y[inside], high)
        return 100 * float(np.average(np.abs(a - b) / b, weights=np.where(y[inside] < high, 1, weight)))

    g, factor = np.log(x) - np.log(y), np.maximum(x / y, y / x)
    images = [
        np.std(np.log(p[d > 0]) - np.log(d[d > 0]))
        for p, d in zip(predictions, depths, strict=True)
        if (d > 0).any()
    ]
    return {
        "abs_rel": abs_rel(0, np.inf),
        "abs_rel_rng1": abs_rel(1, np.inf),
        "abs_rel_rng3to20": abs_rel(3, 20),
        "abs_rel_rng3to80": abs_rel(3, 80),
        "abs_rel_rng3to255": abs_rel(3, 255),
        "abs_rel_weighted_rng3to255": abs_rel(3, 255, 0.1),
        "rmse_m": float(np.sqrt(np.mean((x - y) ** 2))),
        "rmse_log": float(np.sqrt(np.mean(g**2))),
        "silog": 100 * float(np.mean(images)),
        **{f"delta{k}": 100 * float(np.mean(factor < 1.25**k)) for k in (1, 2, 3)},
    }


def test_two_pixels_by_hand() -> None:
    """Found 1.2 of 1 m and 5 of 10 m; the third pixel is unknown."""
    got = scores([[[[1.2, 5.0, 7.0]]]], [[[1.0, 10.0, 0.0]]])
    assert got["abs_rel"] == pytest.approx(100 * (0.2 + 0.5) / 2)
    assert got["abs_rel_rng1"] == pytest.approx(50)
    assert got["rmse_m"] == pytest.approx(math.sqrt((0.2**2 + 25) / 2), rel=1e-6)
    logs = math.log(1.2), math.log(0.5)
    assert got["rmse_log"] == pytest.approx(math.sqrt((logs[0] ** 2 + logs[1] ** 2) / 2), rel=1e-6)
    assert got["silog"] == pytest.approx(100 * abs(logs[0] - logs[1]) / 2, rel=1e-6)
    assert [got["delta1"], got["delta2"], got["delta3"]] == [50, 50, 50]


def test_ranges_by_hand() -> None:
    """Truth 2, 10, 100, 300 m, found 4, 11, 50, 270 m."""
    got = scores([[[[4.0, 11.0, 50.0, 270.0]]]], [[[2.0, 10.0, 100.0, 300.0]]])
    assert got["abs_rel"] == pytest.approx(100 * (1 + 0.1 + 0.5 + 0.1) / 4)
    assert got["abs_rel_rng1"] == pytest.approx(got["abs_rel"])
    assert got["abs_rel_rng3to20"] == pytest.approx(100 * 0.1 / 3)  # both cut at 20 m
    assert got["abs_rel_rng3to80"] == pytest.approx(100 * (0.1 + 30 / 80 + 0) / 3)
    assert got["abs_rel_rng3to255"] == pytest.approx(100 * (0.1 + 0.5 + 0) / 3)
    assert got["abs_rel_weighted_rng3to255"] == pytest.approx(100 * (0.1 + 0.5 + 0) / 2.1)
    assert set(RANGES) < set(got)


@pytest.mark.parametrize("with_channel", [True, False])
def test_against_numpy_over_batches_of_different_counts(with_channel: bool) -> None:
    draw = np.random.default_rng(0)
    m = DepthMetric()
    predictions, depths = [], []
    for unknown in (0.0, 0.5, 0.95):
        x, y = draw.uniform(0.5, 300, (2, 6, 7)), draw.uniform(0.5, 300, (2, 6, 7))
        x[0], y[0] = x[0] / 30, y[0] / 30
        y[draw.random(y.shape) < unknown] = 0
        maps = torch.from_numpy(x).float()
        m.update({"depth": maps[:, None] if with_channel else maps}, {"depth": torch.from_numpy(y).float()})
        predictions += list(x)
        depths += list(y)
    assert m.compute() == pytest.approx(reference(predictions, depths), rel=1e-5)


def test_labels_of_different_sizes() -> None:
    m = DepthMetric()
    maps = torch.tensor([[[[1.0, 3.0]]], [[[8.0, 8.0]]]])
    m.update({"depth": maps}, {"depth": [torch.tensor([[1.0, 1.5, 2.5, 3.0]]), torch.full((3, 5), 8.0)]})
    assert m.compute()["rmse_m"] == pytest.approx(0, abs=1e-6)


def test_a_factor_per_image_is_free_in_silog_alone() -> None:
    depth = torch.rand(2, 4, 4) + 1
    got = scores(depth * torch.tensor([2.0, 0.5]).reshape(2, 1, 1), depth)
    assert got["silog"] == pytest.approx(0, abs=1e-4)
    assert got["rmse_log"] == pytest.approx(math.log(2), rel=1e-5)
    assert got["delta3"] == 0


@pytest.mark.parametrize("prediction", [0.0, -5.0])
def test_predictions_below_zero_are_errors_and_not_infinite(prediction: float) -> None:
    got = scores(torch.full((1, 1, 2, 2), prediction), torch.ones(1, 2, 2))
    assert all(math.isfinite(v) for v in got.values() if not math.isnan(v))
    assert got["rmse_log"] == pytest.approx(math.log(1000), rel=1e-5)
    assert got["abs_rel"] == pytest.approx(100 * (1 - prediction))


def test_processes_add_up() -> None:
    draw = torch.Generator().manual_seed(0)
    whole, one, other = DepthMetric(), DepthMetric(), DepthMetric()
    for part in (one, other):
        out = {"depth": 1 + torch.rand(2, 1, 3, 3, generator=draw)}
        batch = {"depth": 5 * torch.rand(2, 3, 3, generator=draw)}
        part.update(out, batch)
        whole.update(out, batch)
    one.sums.merge_state(other.sums)
    assert one.compute() == pytest.approx(whole.compute(), nan_ok=True)


def test_nothing_known_is_no_number() -> None:
    assert all(math.isnan(v) for v in scores(torch.ones(1, 1, 2, 2), torch.zeros(1, 2, 2)).values())


def test_half_precision_is_raised() -> None:
    exact = scores(torch.full((1, 1, 64, 64), 1.5), torch.ones(1, 64, 64))
    half = scores(torch.full((1, 1, 64, 64), 1.5, dtype=torch.bfloat16), torch.ones(1, 64, 64))
    assert half == pytest.approx(exact, rel=0, abs=0, nan_ok=True)
