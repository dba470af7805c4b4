"""What every loss promises, over the registry: finite, differentiable, blind to unknown pixels, repeatable."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from xvision.tasks.losses import depth_loss, label_loss

LABEL, DEPTH = sorted(label_loss.builders()), sorted(depth_loss.builders())
ALL = [*LABEL, *DEPTH]
NO_GRADCHECK = {
    "berhu"
}  # its bend moves with the errors and is a constant to the gradient: see test_depth_losses


def pair(name: str, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """A prediction and its target, some pixels of it unknown."""
    draw = torch.Generator().manual_seed(seed)
    unknown = torch.rand(2, 6, 5, generator=draw) < 0.3
    if name in LABEL:
        prediction = torch.randn(2, 4, 6, 5, generator=draw, dtype=dtype)
        target = torch.randint(0, 3, (2, 6, 5), generator=draw, dtype=torch.uint8).masked_fill(unknown, 255)
    else:
        prediction = 1 + 9 * torch.rand(2, 1, 6, 5, generator=draw, dtype=dtype)
        target = (1 + 9 * torch.rand(2, 6, 5, generator=draw)).masked_fill(unknown, 0)
    return prediction.requires_grad_(), target


def nothing_known(target: Tensor) -> Tensor:
    if target.dtype == torch.uint8:
        return torch.full_like(target, 255)
    return torch.zeros_like(target)


def known_pixels(target: Tensor) -> Tensor:
    if target.dtype == torch.uint8:
        return target != 255
    return target > 0


def build(name: str) -> Callable[..., Tensor]:
    built: Callable[..., Tensor] = (label_loss if name in LABEL else depth_loss).part(name).build()
    return built


def test_every_loss_is_for_one_kind_of_map() -> None:
    assert LABEL
    assert DEPTH
    assert len(set(ALL)) == len(ALL)


@pytest.mark.parametrize("name", ALL)
def test_a_loss_is_a_finite_scalar_in_every_precision(name: str) -> None:
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        prediction, target = pair(name, dtype=dtype)
        value = build(name)(prediction, target)
        assert value.shape == ()
        assert value.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        assert value.isfinite()
        assert value > 0


@pytest.mark.parametrize("name", ALL)
def test_a_batch_without_a_known_pixel_gives_zero_and_gradient_zero(name: str) -> None:
    prediction, target = pair(name)
    value = build(name)(prediction, nothing_known(target))
    value.backward()
    assert value.item() == 0
    assert prediction.grad is not None
    assert not prediction.grad.any()


@pytest.mark.parametrize("name", ALL)
def test_gradient_is_that_of_finite_differences(name: str) -> None:
    if name in NO_GRADCHECK:
        return
    prediction, target = pair(name)
    function = build(name)
    assert torch.autograd.gradcheck(lambda p: function(p, target), (prediction,), eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_the_prediction_at_unknown_pixels_does_not_matter(name: str) -> None:
    prediction, target = pair(name)
    unknown = ~known_pixels(target)[:, None].expand_as(prediction)
    other = prediction.detach().masked_fill(unknown, 77.0).requires_grad_()
    function = build(name)
    value, same = function(prediction, target), function(other, target)
    same.backward()
    assert same.item() == pytest.approx(value.item(), rel=1e-12)
    assert other.grad is not None
    assert other.grad.isfinite().all()
    assert not other.grad[unknown].any()


@pytest.mark.parametrize("name", ALL)
def test_a_perfect_prediction_costs_nothing(name: str) -> None:
    _, target = pair(name)
    if name in LABEL:
        labels = target.long().masked_fill(target == 255, 0)
        perfect = 1e3 * torch.nn.functional.one_hot(labels, 4).movedim(3, 1).double()
    else:
        perfect = target.double()[:, None]
    perfect.requires_grad_()
    value = build(name)(perfect, target)
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-9)
    assert perfect.grad is not None
    assert perfect.grad.isfinite().all()


@pytest.mark.parametrize("name", ALL)
def test_the_order_of_images_does_not_matter(name: str) -> None:
    prediction, target = pair(name)
    function = build(name)
    value = function(prediction, target).item()
    assert function(prediction.flip(0), target.flip(0)).item() == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("name", LABEL)
def test_weights_of_one_change_nothing_and_others_do(name: str) -> None:
    scores, labels = pair(name)
    function = build(name)
    plain = function(scores, labels).item()
    assert function(scores, labels, torch.ones(4)).item() == pytest.approx(plain, rel=1e-6)
    weighted = function(scores, labels, torch.tensor([0.1, 1.0, 5.0, 1.0])).item()
    assert weighted != pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize("name", LABEL)
def test_a_class_of_weight_zero_is_as_unknown(name: str) -> None:
    """Where a loss is a mean over pixels, the divisor still counts them."""
    scores, labels = pair(name)
    function = build(name)
    alone = function(scores, labels, torch.tensor([1.0, 0, 0, 0]))
    alone.backward()
    if name in ("dice", "lovasz"):
        assert alone.item() <= 1
    else:
        assert alone.item() < function(scores, labels).item()
    nothing = function(scores.detach(), labels, torch.zeros(4))
    assert nothing.item() == 0


@pytest.mark.parametrize("name", ALL)
def test_sizes_that_differ_are_our_own_mistake(name: str) -> None:
    prediction, target = pair(name)
    with pytest.raises(AssertionError):
        build(name)(prediction, target[..., :-1])
