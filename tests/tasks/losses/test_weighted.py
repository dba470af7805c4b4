"""Sums of losses, as recipes and command lines write them."""

from __future__ import annotations

import pytest
import torch

from xvision.config.parts import Registry
from xvision.recipes import recipe
from xvision.recipes.overrides import override
from xvision.tasks import losses, task
from xvision.tasks.losses import depth_loss, label_loss

ORIGINAL = "supervised_loss:0.125,scale_loss:0.125,supervised_error_var:4"
"""The original system's depth loss, as its users write it."""


def stored(part: str, text: object) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = task.part(part, {"losses": text}).settings["losses"]
    return found


def test_terms_are_weighted_and_named() -> None:
    labels = torch.tensor([[[0, 1, 2, 255]]], dtype=torch.uint8)
    out, batch = {"segmentation": torch.randn(1, 3, 1, 4)}, {"segmentation": labels}
    made = task.segmentation(losses="cross_entropy:2,dice:0.5", class_weights=(1.0, 2.0, 3.0)).build(
        {"segmentation": ("a", "b", "c")}
    )
    terms, weights = made.loss(out, batch), torch.tensor([1.0, 2.0, 3.0])
    assert list(terms) == list(made.loss_names) == ["cross_entropy", "dice"]
    assert made.terms == ("segmentation/cross_entropy", "segmentation/dice")
    plain = {name: label_loss.part(name).build()(out["segmentation"], labels, weights) for name in terms}
    assert terms == {"cross_entropy": 2 * plain["cross_entropy"], "dice": 0.5 * plain["dice"]}


def test_losses_are_stored_with_their_weights_and_settings() -> None:
    assert stored("segmentation", "cross_entropy,focal:0.5") == {
        "cross_entropy": {"weight": 1.0, "label_smoothing": 0.0},
        "focal": {"weight": 0.5, "gamma": 2.0},
    }
    assert stored("segmentation", {"focal": 0.5}) == stored("segmentation", "focal:0.5")


def test_a_setting_of_a_loss_is_a_key_of_the_recipe() -> None:
    made = override(
        recipe.part("segmentation").build(), ["task.losses=dice,focal:0.5", "task.losses.focal.gamma=3"]
    )
    assert made.to_dict()["task"]["segmentation"]["losses"] == {
        "dice": {"weight": 1.0, "smooth": 0.0},
        "focal": {"weight": 0.5, "gamma": 3.0},
    }


def test_names_of_the_original_system() -> None:
    """Its depth loss, and each of its names a loss of ours with settings that it has."""
    assert stored("depth", ORIGINAL) == stored(
        "depth", {"smooth_l1": 0.125, "mean_scale": 0.125, "error_variance": 4.0}
    )
    found = stored("depth", "scale_abs_loss:2:power=0.5")["mean_scale"]
    assert (found["weight"], found["penalty"], found["power"]) == (2.0, "l1", 0.5)
    for part, names in (("segmentation", losses.LABEL_NAMES), ("depth", losses.DEPTH_NAMES)):
        for name, ours in names.items():
            assert list(stored(part, name)) == [ours.partition(":")[0]]


def test_a_loss_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Registry("depth_loss", "xvision.tasks.losses")
    monkeypatch.setattr(depth_loss, "_own", own._own)

    @own
    def ours(*, factor: float = 1.0):  # type: ignore[no-untyped-def]
        """A loss of someone's own."""
        return lambda prediction, target: factor * prediction.mean()

    made = task.depth(losses="ours:3:factor=2").build({})
    terms = made.loss({"depth": torch.zeros(1, 1, 2, 2)}, {"depth": torch.ones(1, 2, 2)})
    assert terms == {"ours": 6}  # of exp 0 = 1 m


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"losses: expected at least one label_loss, got none; known: cross_entropy, dice, focal"),
        ("dise", r"no label_loss is called 'dise'; did you mean 'dice'\?"),
        ("silog", r"no label_loss is called 'silog'; known: cross_entropy, dice, focal, lovasz, ohem"),
        ("supervised_loss", r"no label_loss is called 'supervised_loss'"),
    ],
)
def test_what_is_no_loss_of_labels(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task.segmentation(losses=text)
