"""What every balancing method promises, over the registry, on a toy network of one shared layer and two heads."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from xvision.train.balancing import balancing
from xvision.train.balancing.contract import Balancing, mean_of

TASKS = ("segmentation", "depth", "motion")
FAST: dict[str, dict[str, Any]] = {
    "pseudo_gradnorm": {"lr": 0.05, "norm_factor": 0.2, "short_factor": 0.3, "long_factor": 0.05},
    "dwa_gradnorm": {"lr": 0.05, "norm_factor": 0.2, "short_factor": 0.3, "long_factor": 0.05},
    "naive_gradnorm": {"norm_factor": 0.2, "short_factor": 0.3, "long_factor": 0.05},
}
NAMES = sorted(balancing.builders())


def build(name: str) -> Balancing:
    built: Balancing = balancing.part(name, FAST.get(name, {})).build(TASKS)
    return built


class Toy(nn.Module):
    """A shared layer of five and a head per task; the scales of the losses differ by a hundred."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.shared = nn.Linear(4, 5)
        self.heads = nn.ModuleDict({name: nn.Linear(5, 1) for name in TASKS})

    def losses(self, seed: int, tasks: tuple[str, ...] = TASKS) -> dict[str, Tensor]:
        x = torch.randn(8, 4, generator=torch.Generator().manual_seed(seed))
        features = self.shared(x).tanh()
        targets = {"segmentation": x[:, :1], "depth": 10 * x[:, 1:2], "motion": -x[:, :1] - x[:, 2:3]}
        return {t: (self.heads[t](features) - targets[t]).square().mean() for t in tasks}

    def parameters_for(self, balance: Balancing) -> tuple[Tensor, ...]:
        return () if balance.scope == "none" else tuple(self.shared.parameters())


def train(net: Toy, balance: Balancing, steps: range, batches: int = 1) -> None:
    """Steps of plain descent; three steps are an epoch."""
    for step in steps:
        torch.manual_seed(step)  # as a training does: see xvision.train.learner.seed_step
        for batch in range(batches):
            total = balance.combine(net.losses(step * batches + batch), net.parameters_for(balance))
            (total / batches).backward()
        with torch.no_grad():
            for parameter in net.parameters():
                assert parameter.grad is not None
                parameter -= 0.01 * parameter.grad
                parameter.grad = None
        balance.step()
        if step % 3 == 2:
            balance.end_epoch()


@pytest.mark.parametrize("name", NAMES)
def test_the_first_batch_is_the_sum_of_losses_as_weighted(name: str) -> None:
    net, balance = Toy(), build(name)
    losses = net.losses(0)
    total = balance.combine(losses, net.parameters_for(balance))
    assert total.shape == ()
    expected = sum(float(w) * losses[t].item() for w, t in zip(balance.weights, TASKS, strict=True))
    assert total.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_training_learns_and_weights_stay_positive(name: str) -> None:
    net, balance = Toy(), build(name)
    before = sum(v.item() for v in net.losses(999).values())
    train(net, balance, range(60))
    after = sum(v.item() for v in net.losses(999).values())
    assert after < before
    assert (balance.weights > 0).all()
    if name != "uncertainty":
        assert balance.weights.sum().item() == pytest.approx(len(TASKS))


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"fixed", "pcgrad"}))
def test_weights_move(name: str) -> None:
    net, balance = Toy(), build(name)
    start = balance.weights.clone()
    train(net, balance, range(12))
    assert not torch.allclose(balance.weights, start, rtol=1e-3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stop", [1, 4, 7])
def test_a_resumed_training_is_the_same_bit_for_bit(name: str, stop: int) -> None:
    net, balance = Toy(), build(name)
    train(net, balance, range(stop))
    weights = {k: v.clone() for k, v in net.state_dict().items()}
    state = {k: v.clone() for k, v in balance.state_dict().items()}
    assert all(isinstance(v, Tensor) for v in state.values())
    train(net, balance, range(stop, 10))
    other, resumed = Toy(), build(name)
    other.load_state_dict(weights)
    resumed.load_state_dict(state)
    train(other, resumed, range(stop, 10))
    assert torch.equal(resumed.weights, balance.weights)
    for key, value in net.state_dict().items():
        assert torch.equal(other.state_dict()[key], value), key


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"pcgrad"}))
def test_accumulated_batches_are_as_one(name: str) -> None:
    """The same batch twice, halved, is that batch once."""
    whole_net, whole = Toy(), build(name)
    parts_net, parts = Toy(), build(name)
    for step in range(6):
        total = whole.combine(whole_net.losses(step), whole_net.parameters_for(whole))
        total.backward()
        for _ in range(2):
            (parts.combine(parts_net.losses(step), parts_net.parameters_for(parts)) / 2).backward()
        whole.step()
        parts.step()
        if step % 2:
            whole.end_epoch()
            parts.end_epoch()
    assert torch.allclose(whole.weights, parts.weights, rtol=1e-9)
    for a, b in zip(whole_net.parameters(), parts_net.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert torch.allclose(a.grad, b.grad, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_without_labels_keeps_its_weight(name: str) -> None:
    net, balance = Toy(), build(name)
    train(net, balance, range(6))
    weights = balance.weights.clone()
    for step in (100, 101):
        total = balance.combine(net.losses(step, ("segmentation", "motion")), net.parameters_for(balance))
        total.backward()
        assert total.isfinite()
        balance.step()
    balance.end_epoch()
    assert balance.weights.isfinite().all()
    assert balance.weights[1] == weights[1]
    if name != "uncertainty":
        assert balance.weights.sum().item() == pytest.approx(3)


@pytest.mark.parametrize("name", NAMES)
def test_a_task_that_comes_late(name: str) -> None:
    net, balance = Toy(), build(name)
    for step in range(3):
        balance.combine(net.losses(step, TASKS[:2]), net.parameters_for(balance)).backward()
        balance.step()
    balance.end_epoch()
    train(net, balance, range(3, 12))
    assert balance.weights.isfinite().all()
    assert (balance.weights > 0).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_loss_of_zero_breaks_nothing(name: str) -> None:
    net, balance = Toy(), build(name)
    for _ in range(4):
        losses = net.losses(0)
        losses["depth"] = losses["depth"] * 0
        balance.combine(losses, net.parameters_for(balance)).backward()
        balance.step()
        balance.end_epoch()
    assert balance.weights.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_one_task_alone(name: str) -> None:
    balance: Balancing = balancing.part(name).build(("depth",))
    net = Toy()
    for step in range(4):
        total = balance.combine(net.losses(step, ("depth",)), net.parameters_for(balance))
        total.backward()
        balance.step()
        balance.end_epoch()
    if name != "uncertainty":
        assert balance.weights.tolist() == pytest.approx([1])


@pytest.mark.parametrize("name", NAMES)
def test_a_step_without_labels_moves_nothing(name: str) -> None:
    net, balance = Toy(), build(name)
    train(net, balance, range(4))
    before = balance.weights.clone()
    assert balance.combine({}, net.parameters_for(balance)).item() == 0
    balance.step()
    assert torch.equal(balance.weights, before)


def test_misuse_is_our_own_mistake() -> None:
    loss = torch.zeros((), requires_grad=True)
    with pytest.raises(AssertionError, match="no tasks"):
        Balancing(())
    with pytest.raises(AssertionError, match="depth"):
        Balancing(("depth", "depth"))
    with pytest.raises(AssertionError, match="pose"):
        Balancing(("depth",)).combine({"pose": loss})
    with pytest.raises(AssertionError, match="GradNorm wants parameters: last"):
        build("gradnorm").combine({"depth": loss})


def test_mean_of_no_task_is_zero() -> None:
    assert mean_of(torch.tensor([float("nan")]), torch.tensor([False])) == 0
