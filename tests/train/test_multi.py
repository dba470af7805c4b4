"""Several tasks in one training: every balancing, partial labels, and a resume with the state of the balancing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.train.test_loop import Calling, interrupting, lines, tiny_train
from tests.train.tiny_maps import TinyMaps, loader, several
from xvision.data.loader import Loader
from xvision.train.affinity import affinity
from xvision.train.balancing import balancing
from xvision.train.checkpoint import read_tensors
from xvision.train.errors import Interrupted, NonFiniteLossError


def fit(folder: Path, **changes: Any) -> Any:
    """Three steps an epoch; the loss of every step is logged."""
    given = {
        "model": TinyMaps(),
        "task": several(),
        "train_loader": loader(),
        "val_loader": loader(train=False),
        "epochs": 2,
        "log_every": 1,
    }
    return tiny_train(folder, **{**given, **changes})


def steps(folder: Path) -> list[dict[str, Any]]:
    return [line for line in lines(folder) if "val" not in line]


# ------------------------------------------------------------------------------------------------------ balancing


@pytest.mark.parametrize("name", sorted(balancing.builders()))
@pytest.mark.parametrize("kind", ["both", "partial"])
def test_every_balancing_trains(name: str, kind: str, tmp_path: Path) -> None:
    trained = fit(tmp_path, train_loader=loader(kind), balancing=name, epochs=3)
    assert trained.steps == 9
    assert trained.best.keys() >= {"score", "segmentation/miou", "depth/abs_rel"}
    logged = steps(tmp_path)
    assert all(line["loss"] == line["loss"] for line in logged)
    terms = {term for line in logged for term in line["terms"]}
    assert terms == {"segmentation/cross_entropy", "depth/silog", "depth/smooth_l1"}


def test_constant_weights_multiply_the_losses(tmp_path: Path) -> None:
    fit(tmp_path, balancing={"fixed": {"weights": ["depth:0.25"]}})
    for line in steps(tmp_path):
        terms = line["terms"]
        depth = sum(value for name, value in terms.items() if name.startswith("depth/"))
        assert line["loss"] == pytest.approx(
            terms.get("segmentation/cross_entropy", 0) + 0.25 * depth, rel=1e-6
        )


@pytest.mark.parametrize("text", ["segmentation", "depth"])
def test_one_task_trains_on_the_plain_sum_of_its_terms(text: str, tmp_path: Path) -> None:
    """To the last bit: balancing is not to be seen where there is nothing to balance."""
    made, model = several(text), TinyMaps()
    del model.heads[{"segmentation": "depth", "depth": "segmentation"}[text]]
    given = loader("both")
    by_hand = []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for batch in given.epoch(0):
        terms = made.loss(model(batch["image"]), batch)
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        by_hand.append(loss.item())
    again = TinyMaps()
    del again.heads[{"segmentation": "depth", "depth": "segmentation"}[text]]
    plain = {
        "optimizer": {"sgd": {"lr": 0.05, "momentum": 0.0, "nesterov": False, "weight_decay": 0.0}},
        "schedule": "constant",
    }
    fit(
        tmp_path,
        model=again,
        task=made,
        train_loader=given,
        val_loader=loader("both", train=False),
        epochs=1,
        channels_last=False,
        **plain,
    )
    assert [line["loss"] for line in steps(tmp_path)] == by_hand
    weights = read_tensors(tmp_path / "checkpoints/last.safetensors")[0]
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("name", sorted(balancing.builders()))
def test_a_balanced_training_goes_on_with_the_same_bits(name: str, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"balancing": name, "epochs": 4}
    fit(tmp_path / "whole", **settings)
    for at in (5, 5):
        with pytest.raises(Interrupted):
            fit(tmp_path / "parts", train_loader=interrupting(loader(), at), **settings)
    fit(tmp_path / "parts", **settings)
    states = [sorted((tmp_path / n / "checkpoints").glob("*.safetensors")) for n in ("whole", "parts")]
    names = set()
    for one, other in zip(*states, strict=True):
        a, b = read_tensors(one)[0], read_tensors(other)[0]
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a), one
        names |= a.keys()
        if "balancing.weights" in a and name not in ("fixed", "pcgrad"):
            assert not torch.equal(a["balancing.weights"], torch.ones(2, dtype=torch.float64)), (
                "they have moved"
            )
    made = balancing.part(name, {}).build(["segmentation", "depth"])
    assert {f"balancing.{key}" for key in made.state_dict()} <= names
    assert [x["loss"] for x in steps(tmp_path / "whole")] == [x["loss"] for x in steps(tmp_path / "parts")]


# -------------------------------------------------------------------------------------------------- partial labels


def test_a_step_logs_the_terms_it_has(tmp_path: Path) -> None:
    """Batches of two from sets in turn: some have labels of one task alone."""
    fit(tmp_path / "each", train_loader=loader(batch_size=2), epochs=1)
    single = steps(tmp_path / "each")
    assert len(single) == 6
    has_depth = ["depth/silog" in line["terms"] for line in single]
    assert any(has_depth)
    assert not all(has_depth)
    fit(tmp_path / "mean", train_loader=loader(batch_size=2), epochs=1, log_every=6)
    (mean,) = steps(tmp_path / "mean")
    for name, value in mean["terms"].items():
        own = [line["terms"][name] for line in single if name in line["terms"]]
        assert value == pytest.approx(sum(own) / len(own), rel=1e-5), name
    assert mean["loss"] == pytest.approx(sum(line["loss"] for line in single) / 6, rel=1e-5)


def test_accumulated_terms_are_averages_over_the_batches_that_have_them(tmp_path: Path) -> None:
    fit(tmp_path / "each", train_loader=loader(batch_size=2), epochs=1, optimizer="sgd:1e-12")
    fit(tmp_path / "three", train_loader=loader(batch_size=2), epochs=1, accumulate=3, optimizer="sgd:1e-12")
    single, three = steps(tmp_path / "each"), steps(tmp_path / "three")
    for i, line in enumerate(three):
        batches = single[3 * i : 3 * i + 3]
        for name, value in line["terms"].items():
            own = [b["terms"][name] for b in batches if name in b["terms"]]
            assert value == pytest.approx(sum(own) / len(own), rel=1e-5)
        assert line["loss"] == pytest.approx(sum(b["loss"] for b in batches) / 3, rel=1e-5)


class Unlabelled(Calling):
    """A loader whose second batch has no label of any task."""

    def __init__(self, given: Loader) -> None:
        super().__init__(given, -1, lambda: None)

    def epoch(self, epoch: int, start_batch: int = 0, sizes: Any = None) -> Any:
        for i, batch in enumerate(super().epoch(epoch, start_batch, sizes)):
            nothing = dict.fromkeys(("segmentation", "depth"), [False] * len(batch["name"]))
            yield batch | ({"labelled": nothing} if i == 1 else {})


@pytest.mark.parametrize("name", ["fixed", "gradnorm", "dwa", "pcgrad", "uncertainty"])
def test_a_batch_without_any_label_teaches_nothing(name: str, tmp_path: Path) -> None:
    fit(tmp_path, train_loader=Unlabelled(loader()), balancing=name)
    second = steps(tmp_path)[1]
    assert second["loss"] == 0
    assert second["terms"] == {}


def test_a_loss_that_is_not_finite_names_the_terms_that_are_there(tmp_path: Path) -> None:
    class OnlyDepth(Unlabelled):
        def epoch(self, epoch: int, start_batch: int = 0, sizes: Any = None) -> Any:
            for batch in self.loader.epoch(epoch, start_batch, sizes):
                yield batch | {"labelled": {"segmentation": [False] * len(batch["name"])}}

    model = TinyMaps()
    nn.init.constant_(model.heads["depth"].bias, torch.nan)  # type: ignore[arg-type]
    with pytest.raises(
        NonFiniteLossError, match=r"the loss is not finite \(loss nan, depth/silog nan"
    ) as caught:
        fit(tmp_path, model=model, train_loader=OnlyDepth(loader("both")))
    assert "segmentation" not in str(caught.value).split(")")[0]


# ---------------------------------------------------------------------------------------------------- affinity


def test_affinity_is_measured_where_tasks_meet() -> None:
    model = TinyMaps()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = affinity(model, several(), loader("both"), num_batches=2)  # type: ignore[arg-type]
    assert (found["tasks"], found["samples"]) == (["segmentation", "depth"], 8)
    (one, across), (back, other) = found["cosines"]
    assert one == other == 1
    assert across == back
    assert -1 <= across <= 1
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_tasks_that_never_meet_have_no_affinity() -> None:
    given = loader(batch_size=1)
    found = affinity(TinyMaps(), several(), given)  # type: ignore[arg-type]
    assert found["cosines"] == [[1, None], [None, 1]]
