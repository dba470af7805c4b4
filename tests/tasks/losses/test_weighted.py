"""Sums of losses from short texts."""

from __future__ import annotations

import pytest
import torch

from xvision.config.parts import Registry
from xvision.tasks.losses import loss
from xvision.tasks.losses.weighted import (
    ORIGINAL_DEPTH,
    ORIGINAL_NAMES,
    Kind,
    WeightedLosses,
    names_of,
    parse_terms,
)


def test_texts_give_names_weights_and_settings() -> None:
    terms = parse_terms(
        ["cross_entropy", "dice:0.5", "focal:2e-1:gamma=3", "ohem:threshold=0.5:min_share=1"], "label"
    )
    assert [(t.part.name, t.weight) for t in terms] == [
        ("cross_entropy", 1.0),
        ("dice", 0.5),
        ("focal", 0.2),
        ("ohem", 1.0),
    ]
    assert terms[2].part.settings == {"gamma": 3.0}
    assert terms[3].part.settings == {"min_share": 1.0, "threshold": 0.5}


def test_settings_are_parsed_by_type() -> None:
    (term,) = parse_terms(["gradient:0.5:scales=2:log=false"], "depth")
    assert term.part.settings == {"scales": 2, "log": False, "min_m": 1e-3}


def test_terms_are_weighted_and_named() -> None:
    scores, labels = torch.randn(1, 3, 4, 4), torch.randint(0, 3, (1, 4, 4))
    weights = torch.tensor([1.0, 2.0, 3.0])
    terms = WeightedLosses(("cross_entropy:2", "dice:0.5"), "label")(scores, labels, weights)
    assert list(terms) == ["cross_entropy", "dice"]
    assert terms["cross_entropy"] == 2 * loss.cross_entropy().build()(scores, labels, weights)
    assert terms["dice"] == 0.5 * loss.dice().build()(scores, labels, weights)


def test_the_triple_of_the_original() -> None:
    assert [(t.part.name, t.weight) for t in parse_terms(ORIGINAL_DEPTH, "depth")] == [
        ("smooth_l1", 0.125),
        ("mean_scale", 0.125),
        ("error_variance", 4.0),
    ]


def test_a_loss_from_outside_is_for_every_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Registry("loss", "xvision.tasks.losses")
    monkeypatch.setattr(loss, "_own", own._own)

    @own
    def ours():  # type: ignore[no-untyped-def]
        """A loss of someone's own."""
        return lambda prediction, target: prediction.mean()

    assert "ours" in names_of("label")
    assert "ours" in names_of("depth")
    assert WeightedLosses(["ours:3"], "depth")(torch.ones(2), torch.ones(2))["ours"] == 3


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (
            [],
            r"task\.losses: expected at least one loss, got none; known: cross_entropy, dice, focal, lovasz, ohem",
        ),
        (["dise"], r"task\.losses: no loss is called 'dise'; did you mean 'dice'\?"),
        (
            ["silog"],
            r"task\.losses: 'silog' is no loss of a label map; known: cross_entropy, dice, focal, lovasz, ohem",
        ),
        (["dice:half"], r"'dice:half': expected a weight > 0 after the name, got 'half'"),
        (["dice:0"], r"expected a weight > 0 after the name, got '0'"),
        (["dice:inf"], r"expected a weight > 0 after the name, got 'inf'"),
        (["dice:1:2"], r"'dice:1:2': expected name:weight:key=value, got '2' for key=value"),
        (["focal:1:gama=2"], r"loss focal: no setting 'gama'; did you mean 'gamma'\?"),
        (["focal:1:gamma=two"], r"loss focal\.gamma: should be a valid number.*got 'two'"),
        (["dice", "dice:2"], r"'dice' is named twice; add up the weights"),
        (["dise", "dice:x"], r"no loss is called 'dise'.*; task\.losses: 'dice:x': expected a weight"),
    ],
)
def test_texts_that_cannot_be(texts: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_terms(texts, "label")


def test_names_of_the_original_system() -> None:
    """Its depth loss as its users write it, and each name a loss of ours with settings that it has."""
    terms = parse_terms(["supervised_loss:0.125", "scale_loss:0.125", "supervised_error_var:4"], "depth")
    assert terms == parse_terms(ORIGINAL_DEPTH, "depth")
    (term,) = parse_terms(["scale_abs_loss:2:power=0.5"], "depth")
    assert (term.part.name, term.weight, term.part.settings["penalty"]) == ("mean_scale", 2.0, "l1")
    kinds: tuple[Kind, ...] = ("label", "depth", "flow")
    for name, ours in ORIGINAL_NAMES.items():
        (kind,) = (kind for kind in kinds if ours.partition(":")[0] in names_of(kind))
        parse_terms([name], kind)[0].part.build()
