"""Losses of depth against plain numpy, on batches with different numbers of known pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from xvision.config.weighted import weighted_parts_of
from xvision.tasks.losses import depth_loss
from xvision.tasks.losses.depth_losses import log_depth
from xvision.tasks.losses.weighted import WeightedLosses

Array = np.ndarray[Any, np.dtype[np.float64]]


def batch(seed: int, unknown_ratio: float) -> tuple[Tensor, Tensor]:
    draw = np.random.default_rng(seed)
    depth = draw.uniform(1, 20, (3, 9, 7))
    depth[draw.random(depth.shape) < unknown_ratio] = 0
    depth[2] = 0  # an image without a known pixel
    return torch.from_numpy(draw.uniform(1, 20, (3, 1, 9, 7))), torch.from_numpy(depth)


def errors(x: Array, y: Array) -> Array:
    return (x - y)[y > 0]


def smooth_l1(x: Array, y: Array) -> float:
    a = np.abs(errors(x, y))
    return float(np.mean(np.where(a < 2, a**2 / 4, a - 1)))


def berhu_of(c: float, a: Array) -> float:
    return float(np.mean(np.where(a <= c, a, (a**2 + c**2) / (2 * c))))


def berhu_max(x: Array, y: Array) -> float:
    a = np.abs(errors(x, y))
    return berhu_of(0.2 * a.max(), a)


def berhu_median(x: Array, y: Array) -> float:
    a = np.sort(np.abs(errors(x, y)))
    return berhu_of(a[(len(a) - 1) // 2], a)


def charbonnier_of(d: Array) -> Array:
    return np.asarray((d**2 + 1e-6) ** 0.45 - 1e-6**0.45)


def mean_scale(x: Array, y: Array) -> float:
    return float(charbonnier_of(x[y > 0].mean() - y[y > 0].mean()))


def charbonnier_adaptive(x: Array, y: Array) -> float:
    d = errors(x, y)
    e = max(1e-3, np.sort(np.abs(d))[(len(d) - 1) // 2] / 2)
    return float(np.mean((d**2 + e**2) ** 0.45 - e**0.9))


def silog_of(invariance: float) -> Callable[[Array, Array], float]:
    def of(x: Array, y: Array) -> float:
        each = []
        for image, truth in zip(x, y, strict=True):
            if (truth > 0).any():
                g = np.log(image[truth > 0]) - np.log(truth[truth > 0])
                each.append((g**2).mean() - invariance * g.mean() ** 2)
        return float(np.mean(each))

    return of


def gradient_of(function: Callable[[Array], Array]) -> Callable[[Array, Array], float]:
    def of(x: Array, y: Array) -> float:
        total = 0.0
        for step in (1, 2, 4):
            sums, count = 0.0, 0
            for image, truth in zip(x, y, strict=True):
                coarse, labels = image[::step, ::step], truth[::step, ::step]
                known = labels > 0
                count += int(known.sum())
                e = function(coarse) - function(np.where(known, labels, 1))
                for i, j in np.argwhere(known):
                    if i + 1 < len(e) and known[i + 1, j]:
                        sums += abs(e[i + 1, j] - e[i, j])
                    if j + 1 < len(e[0]) and known[i, j + 1]:
                        sums += abs(e[i, j + 1] - e[i, j])
            total += sums / max(count, 1)
        return total

    return of


@pytest.mark.parametrize(
    ("name", "settings", "reference"),
    [
        ("smooth_l1", {"beta": 2}, smooth_l1),
        ("l1", {}, lambda x, y: np.abs(errors(x, y)).mean()),
        ("l2", {}, lambda x, y: (errors(x, y) ** 2).mean()),
        ("berhu", {}, berhu_max),
        ("berhu", {"threshold": "median", "share": 1}, berhu_median),
        ("charbonnier", {}, lambda x, y: charbonnier_of(errors(x, y)).mean()),
        ("charbonnier", {"adaptive": True}, charbonnier_adaptive),
        ("rmse", {}, lambda x, y: (errors(x, y) ** 2).mean() ** 0.5),
        ("relative", {}, lambda x, y: np.abs(errors(x, y) / y[y > 0]).mean()),
        ("relative", {"min_m": 4}, lambda x, y: np.abs(x[y > 4] / y[y > 4] - 1).mean()),
        ("mean_scale", {}, mean_scale),
        ("mean_scale", {"penalty": "l1"}, lambda x, y: abs(errors(x, y).mean())),
        ("error_variance", {}, lambda x, y: errors(x, y).var(ddof=1)),
        ("error_variance", {"root": True}, lambda x, y: errors(x, y).std(ddof=1)),
        ("silog", {}, silog_of(0.5)),
        ("silog", {"invariance": 1}, silog_of(1)),
        ("gradient", {"scales": 3}, gradient_of(np.log)),
        ("gradient", {"scales": 3, "log": False}, gradient_of(lambda m: m)),
    ],
)
@pytest.mark.parametrize("unknown_ratio", [0.0, 0.4, 0.9])
def test_a_loss_equals_plain_numpy(
    name: str, settings: dict[str, Any], reference: Callable[[Array, Array], float], unknown_ratio: float
) -> None:
    prediction, depth = batch(1, unknown_ratio)
    got = depth_loss.part(name, settings).build()(prediction, depth)
    assert float(got) == pytest.approx(float(reference(prediction.numpy()[:, 0], depth.numpy())), rel=1e-9)


def test_the_triple_of_the_original_by_hand() -> None:
    """d = 1, 1, 4 m: smooth L1 (0.5 + 0.5 + 3.5) / 3, Charbonnier of the mean 2, variance 3."""
    depth = torch.tensor([[[1.0, 2.0, 3.0, 0.0]]], dtype=torch.float64)
    prediction = torch.tensor([[[[2.0, 3.0, 7.0, 9.0]]]], dtype=torch.float64)
    triple = weighted_parts_of(depth_loss).parse("smooth_l1:0.125,mean_scale:0.125,error_variance:4")
    terms = WeightedLosses(triple)(prediction, depth)
    assert float(terms["smooth_l1"]) == pytest.approx(0.125 * 1.5)
    assert float(terms["mean_scale"]) == pytest.approx(0.125 * (2**0.9 - 1e-6**0.45), rel=1e-6)
    assert float(terms["error_variance"]) == pytest.approx(4 * 3)


@pytest.mark.parametrize("depth", [0.0, -1.0, torch.nan, torch.inf])
def test_what_is_unknown(depth: float) -> None:
    target = torch.tensor([[[2.0, depth]]])
    prediction = torch.tensor([[[[3.0, 50.0]]]], requires_grad=True)
    value = depth_loss.l1().build()(prediction, target)
    value.backward()
    assert value.item() == 1
    assert prediction.grad is not None
    assert prediction.grad.flatten().tolist() == [1, 0]


def test_one_known_pixel_has_no_variance() -> None:
    assert (
        depth_loss.error_variance().build()(torch.full((1, 1, 1, 2), 9.0), torch.tensor([[[1.0, 0.0]]])) == 0
    )


def test_silog_does_not_see_a_factor_per_image() -> None:
    """Eigen et al., section 3.2: with lambda 1 a factor over an image is free, with lambda 0.5 it is not."""
    _, depth = batch(2, 0.2)
    depth[2] = 3
    factors = torch.tensor([0.5, 2.0, 5.0]).reshape(3, 1, 1)
    assert float(depth_loss.silog(invariance=1.0).build()(depth * factors, depth)) == pytest.approx(
        0, abs=1e-12
    )
    half = float(depth_loss.silog().build()(depth * factors, depth))
    assert half == pytest.approx(0.5 * float((factors.double().log() ** 2).mean()), rel=1e-6)


def test_gradient_does_not_see_a_factor_but_edges() -> None:
    depth = torch.ones(1, 8, 8, dtype=torch.float64)
    assert depth_loss.gradient().build()(2 * depth, depth) == 0
    edge = depth.clone()
    edge[:, :, 4:] = 2
    one_scale = depth_loss.gradient(scales=1, log=False).build()(edge, depth)
    assert float(one_scale) == pytest.approx(8 / 64)
    two_scales = depth_loss.gradient(scales=2, log=False).build()(edge, depth)
    assert float(two_scales) == pytest.approx(8 / 64 + 4 / 16)


@pytest.mark.parametrize("name", ["silog", "gradient"])
def test_a_prediction_below_zero_learns(name: str) -> None:
    prediction = torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4).requires_grad_()
    depth = 1 + torch.arange(16.0).reshape(1, 4, 4) % 5
    value = depth_loss.part(name).build()(prediction, depth)
    value.backward()
    assert value.isfinite()
    assert prediction.grad is not None
    assert prediction.grad.isfinite().all()
    assert (prediction.grad[prediction < 0] < 0).any()


def test_the_logarithm_goes_on_along_its_tangent() -> None:
    x = torch.tensor([0.5 - 1e-7, 0.5 + 1e-7, -3.0], dtype=torch.float64, requires_grad=True)
    y = log_depth(x, 0.5)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == pytest.approx([2, 2, 2], rel=1e-6)
    assert y[2].item() == pytest.approx(np.log(0.5) - 3.5 / 0.5)


def test_the_bend_of_berhu_is_a_constant_to_the_gradient() -> None:
    """d = 1, -10, c = 0.2 * 10: |d| has gradient 1, (d^2 + c^2) / (2c) has d / c = -5; the mean halves both."""
    prediction = torch.tensor([[[[2.0, 1.0]]]], requires_grad=True)
    value = depth_loss.berhu().build()(prediction, torch.tensor([[[1.0, 11.0]]]))
    value.backward()
    assert value.item() == pytest.approx((1 + (100 + 4) / 4) / 2)
    assert prediction.grad is not None
    assert prediction.grad.flatten().tolist() == pytest.approx([0.5, -2.5])


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("smooth_l1", {"beta": 0}, r"smooth_l1\.beta: expected a value > 0, got 0"),
        ("berhu", {"share": -1}, r"berhu\.share: expected a value > 0, got -1"),
        (
            "charbonnier",
            {"epsilon": 0, "power": 0},
            r"charbonnier\.epsilon: expected a value > 0, got 0\.0; charbonnier\.power: expected a value > 0",
        ),
        ("mean_scale", {"epsilon": 0}, r"mean_scale\.epsilon: expected a value > 0, got 0"),
        ("silog", {"min_m": 0}, r"silog\.min_m: expected a value > 0, got 0"),
        ("silog", {"invariance": 2}, r"silog\.invariance: expected 0 <= value <= 1, got 2"),
        ("gradient", {"scales": 0}, r"gradient\.scales: expected a value > 0, got 0"),
    ],
)
def test_settings_that_cannot_be(name: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        depth_loss.part(name, settings).build()
