"""Losses of maps of depth.

A loss takes a prediction (B, 1, H, W) or (B, H, W) and depth (B, H, W), both in metres, 0 for unknown, and gives a
scalar; d = prediction - depth below. Unknown pixels (also NaN and infinity) neither count nor pull. Means run over all
known pixels of the batch unless a loss says otherwise; a batch without a known pixel gives 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from xvision.tasks.losses import depth_loss
from xvision.tasks.losses.masked import masked_mean, precise

DepthLoss = Callable[[Tensor, Tensor], Tensor]


def _known_pair(prediction: Tensor, depth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Prediction and depth (B, H, W), 1 at unknown pixels so that every function of them is finite; what is known."""
    prediction = precise(prediction.squeeze(1) if prediction.ndim == 4 else prediction)
    depth = depth.squeeze(1) if depth.ndim == 4 else depth
    assert prediction.ndim == 3, prediction.shape
    assert prediction.shape == depth.shape, (prediction.shape, depth.shape)
    known = (depth > 0) & depth.isfinite()
    return torch.where(known, prediction, 1), torch.where(known, depth, 1).to(prediction.dtype), known


def _of_differences(pixel_loss: Callable[[Tensor], Tensor]) -> DepthLoss:
    """The mean of a function of d."""

    def of(prediction: Tensor, depth: Tensor) -> Tensor:
        prediction, depth, known = _known_pair(prediction, depth)
        return masked_mean(pixel_loss(prediction - depth), known)

    return of


def log_depth(prediction: Tensor, min_m: float) -> Tensor:
    """The logarithm, continued by its tangent below `min_m`.

    A head without a bound may give 0 or less. Clamping there would stop its gradient for good; the tangent does not.

    >>> log_depth(torch.tensor([1.0, 0.1, 0.0]), 0.1)
    tensor([ 0.0000, -2.3026, -3.3026])
    """
    above = prediction.clamp(min=min_m)
    return above.log() + (prediction - above) / min_m


def _log_pair(prediction: Tensor, depth: Tensor, min_m: float) -> tuple[Tensor, Tensor]:
    """log(prediction) - log(depth), 0 at unknown pixels; what is known."""
    prediction, depth, known = _known_pair(prediction, depth)
    return (log_depth(prediction, min_m) - log_depth(depth, min_m)) * known, known


def _median(values: Tensor, known: Tensor) -> Tensor:
    """The median of the known values, the lower one of two in the middle, as torch's; infinite if there is none."""
    middle = ((known.sum() - 1) // 2).clamp(min=0)
    return torch.where(known, values, torch.inf).flatten().sort().values[middle]


def _root(square: Tensor) -> Tensor:
    """The square root with a gradient of 0, and not without end, at 0."""
    return torch.where(square > 0, square.clamp(min=1e-12).sqrt(), 0)


def _positive(**settings: float) -> None:
    problems = [
        f"{name.replace('__', '.')}: expected a value > 0, got {value}"
        for name, value in settings.items()
        if not value > 0
    ]
    if problems:
        raise ValueError("; ".join(problems))


@depth_loss
def smooth_l1(*, beta: float = 1.0) -> DepthLoss:
    """d^2 / (2 beta) up to |d| = beta, |d| - beta / 2 beyond.

    Source: Girshick, Fast R-CNN, ICCV 2015, equation 3; the original system's supervised_loss, which it weights 0.125.
    """
    _positive(smooth_l1__beta=beta)
    return _of_differences(lambda d: F.smooth_l1_loss(d, torch.zeros_like(d), beta=beta, reduction="none"))


@depth_loss
def l1() -> DepthLoss:
    """|d|: every metre costs the same."""
    return _of_differences(torch.abs)


@depth_loss
def l2() -> DepthLoss:
    """d squared. (The original system's "l2" is the norm over channels, which for one channel is l1.)"""
    return _of_differences(torch.square)


@depth_loss
def rmse() -> DepthLoss:
    """Root of the mean of d squared: as l2, but in metres, so that no weight has to follow its size.

    Source: the original system's root_mean_squared_error.
    """

    def of(prediction: Tensor, depth: Tensor) -> Tensor:
        prediction, depth, known = _known_pair(prediction, depth)
        return _root(masked_mean((prediction - depth) ** 2, known))

    return of


@depth_loss
def relative(*, min_m: float = 0.0) -> DepthLoss:
    """|d| / depth where the depth is above `min_m`: what is near counts more; the metric ARD as a loss.

    Source: the original system's supervised_relative_error, which divides by the number of all known pixels.
    """

    def of(prediction: Tensor, depth: Tensor) -> Tensor:
        prediction, depth, known = _known_pair(prediction, depth)
        return masked_mean((prediction - depth).abs() / depth, known & (depth > min_m))

    return of


@depth_loss
def berhu(*, threshold: Literal["max", "median"] = "max", share: float = 0.2) -> DepthLoss:
    """|d| up to c, (d^2 + c^2) / (2 c) beyond: the reverse of Huber, hard on large errors.

    c is `share` of the largest (or the median) |d| of the batch and is a constant to the gradient.
    Source: Laina et al., Deeper Depth Prediction with Fully Convolutional Residual Networks, 3DV 2016, section 3.2
    (max, 0.2). The original system's is threshold=median, share=1.
    """
    _positive(berhu__share=share)

    def of(prediction: Tensor, depth: Tensor) -> Tensor:
        prediction, depth, known = _known_pair(prediction, depth)
        size = (prediction - depth).abs()
        detached = size.detach()
        c = share * ((detached * known).amax() if threshold == "max" else _median(detached, known))
        c = torch.where(c.isfinite() & (c > 0), c, 1)  # no error, no bend
        return masked_mean(torch.where(size <= c, size, (size**2 + c**2) / (2 * c)), known)

    return of


@depth_loss
def charbonnier(*, epsilon: float = 1e-3, power: float = 0.45, adaptive: bool = False) -> DepthLoss:
    """(d^2 + epsilon^2)^power - epsilon^(2 power): close to |d|, smooth at 0, robust to outliers.

    With `adaptive` epsilon is half the median |d| of the batch, at least `epsilon`, and a constant to the gradient.
    Source: Charbonnier et al., Two Deterministic Half-quadratic Regularization Algorithms, ICIP 1994; the power 0.45
    of Sun et al., Secrets of Optical Flow Estimation, CVPR 2010, section 4; epsilon and the offset that makes the
    least value 0 are the original system's.
    """
    _positive(charbonnier__epsilon=epsilon, charbonnier__power=power)

    def of(prediction: Tensor, depth: Tensor) -> Tensor:
        prediction, depth, known = _known_pair(prediction, depth)
        d = prediction - depth
        half = (_median(d.detach().abs(), known) / 2).clamp(min=epsilon)
        bend = torch.where(half.isfinite(), half, epsilon) if adaptive else epsilon
        return masked_mean(_charbonnier(d, bend, power), known)

    return of


def _charbonnier(d: Tensor, epsilon: Tensor | float, power: float) -> Tensor:
    robust: Tensor = (d**2 + epsilon**2) ** power - (epsilon**2) ** power
    return robust


@depth_loss
def mean_scale(
    *, penalty: Literal["charbonnier", "l1"] = "charbonnier", epsilon: float = 1e-3, power: float = 0.45
) -> DepthLoss:
    """How far the mean of the prediction is from the mean of the depth: Charbonnier, or |.|, of the difference.

    Source: the original system's "overall scale difference" (scale_loss), which it weights 0.125; its scale_abs_loss is
    penalty=l1.
    """
    _positive(mean_scale__epsilon=epsilon, mean_scale__power=power)

    def of(prediction: Tensor, depth: Tensor) -> Tensor:
        prediction, depth, known = _known_pair(prediction, depth)
        difference = masked_mean(prediction - depth, known)
        return difference.abs() if penalty == "l1" else _charbonnier(difference, epsilon, power)

    return of


@depth_loss
def error_variance(*, root: bool = False) -> DepthLoss:
    """Variance of d over the batch, unbiased, or its root; 0 with fewer than two known pixels.

    Source: the original system's supervised_error_var, which it weights 4.0; its supervised_error_std is root=true.
    """

    def of(prediction: Tensor, depth: Tensor) -> Tensor:
        prediction, depth, known = _known_pair(prediction, depth)
        d = prediction - depth
        squares = (d - masked_mean(d, known)) ** 2 * known
        variance: Tensor = squares.sum() / (known.sum() - 1).clamp(min=1)
        return _root(variance) if root else variance

    return of


@depth_loss
def silog(*, invariance: float = 0.5, min_m: float = 1e-3) -> DepthLoss:
    """Scale-invariant error: mean g^2 - invariance * (mean g)^2 of g = log prediction - log depth, per image.

    `invariance` (lambda in the paper) 0 is the plain squared log error, 1 does not see a factor over a whole image.
    The mean is over the images that have a known pixel. Predictions below `min_m` continue along the tangent of the
    logarithm, so that a head that starts at or under 0 learns.

    Source: Eigen et al., Depth Map Prediction from a Single Image using a Multi-Scale Deep Network, NIPS 2014,
    equation 4 (lambda 0.5).
    """
    _positive(silog__min_m=min_m)
    if not 0 <= invariance <= 1:
        raise ValueError(f"silog.invariance: expected 0 <= value <= 1, got {invariance}")

    def of(prediction: Tensor, depth: Tensor) -> Tensor:
        g, known = _log_pair(prediction, depth, min_m)
        num_known = known.sum((1, 2))
        n = num_known.clamp(min=1)
        per_image = (g**2).sum((1, 2)) / n - invariance * (g.sum((1, 2)) / n) ** 2
        return masked_mean(per_image, num_known > 0)

    return of


@depth_loss
def gradient(*, scales: int = 4, log: bool = True, min_m: float = 1e-3) -> DepthLoss:
    """Differences between neighbours of the error map at several scales: edges sharp and in place, planes smooth.

    At scale k every 2^k-th pixel is taken, so that unknown ones spread nowhere; |difference| to the right and lower
    neighbour where both are known, divided by the known pixels of that scale; added over `scales`. The error map is
    log prediction - log depth, or d with `log=false`.

    Source: Li and Snavely, MegaDepth, CVPR 2018, equation 3 (log, four scales); Ranftl et al., Towards Robust
    Monocular Depth Estimation, TPAMI 2020, equation 11, takes differences of aligned inverse depth. MegaDepth divides
    all scales by the pixels of the finest; we divide each by its own, so that the coarse ones count as much.
    """
    _positive(gradient__min_m=min_m, gradient__scales=scales)

    def of(prediction: Tensor, depth: Tensor) -> Tensor:
        if log:
            errors, known = _log_pair(prediction, depth, min_m)
        else:
            prediction, depth, known = _known_pair(prediction, depth)
            errors = prediction - depth
        total = errors.new_zeros(())
        for k in range(scales):
            e, m = errors[:, :: 2**k, :: 2**k], known[:, :: 2**k, :: 2**k]
            sideways = (e.diff(dim=2).abs() * (m[:, :, 1:] & m[:, :, :-1])).sum()
            down = (e.diff(dim=1).abs() * (m[:, 1:] & m[:, :-1])).sum()
            total = total + (sideways + down) / m.sum().clamp(min=1)
        return total

    return of
