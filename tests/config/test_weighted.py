"""Weighted parts: short form, stored form, keys of their own."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import BaseModel

from xvision.config.weighted import WeightedPart, WeightedParts, weighted_parts_of
from xvision.tasks.losses import depth_loss, label_loss

read = weighted_parts_of(label_loss).parse


class Section(BaseModel):
    losses: Annotated[WeightedParts, weighted_parts_of(label_loss)]


def test_the_short_form_is_names_with_weights() -> None:
    terms = read("cross_entropy,focal:0.5")
    assert terms.names == ("cross_entropy", "focal")
    assert [term.weight for term in terms] == [1.0, 0.5]
    assert terms["focal"].part == label_loss.focal()
    assert read(["cross_entropy", "focal:0.5"]) == read((label_loss.cross_entropy(), "focal:0.5")) == terms


def test_the_short_form_may_set_settings_and_use_other_names() -> None:
    assert read("focal:0.5:gamma=3,dice:smooth=2") == read(
        {"focal": {"weight": 0.5, "gamma": 3}, "dice": {"smooth": 2}}
    )
    assert read({"dice": 0.5}) == read("dice:0.5")
    aliased = weighted_parts_of(label_loss, {"overlap": "dice:smooth=2"}).parse
    assert aliased("overlap:0.5") == read("dice:0.5:smooth=2")


def test_it_is_stored_with_weight_and_settings_and_reads_back() -> None:
    terms = read([WeightedPart(label_loss.focal(gamma=3), 0.5), "dice"])
    stored = Section(losses=terms).model_dump(mode="json")["losses"]
    assert stored["focal"] == {"weight": 0.5, "gamma": 3.0}
    assert read(stored) == terms
    assert read({"focal": {"gamma": 3}}) == read(label_loss.focal(gamma=3))


def test_one_term_is_replaced() -> None:
    terms = read("cross_entropy,dice")
    changed = terms.replace("dice", terms["dice"].with_settings(weight=0.25, smooth=2))
    assert (changed["dice"].weight, changed["dice"].part.settings["smooth"]) == (0.25, 2)
    assert changed["cross_entropy"] == terms["cross_entropy"]


def test_no_loss_has_a_setting_that_is_called_as_the_weight_is() -> None:
    for registry in (label_loss, depth_loss):
        assert not [name for name, builder in registry.builders().items() if "weight" in builder.settings]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "expected at least one label_loss, got none; known: "),
        ((), "expected at least one label_loss, got none"),
        ("dice,dice:2", "the label_loss 'dice' is named twice; add up the weights"),
        ("dice:much", "dice: expected a weight > 0, got 'much'"),
        ("dice:0", "dice: expected a weight > 0, got 0"),
        ({"dice": {"weight": None}}, "dice: expected a weight > 0, got None"),
        (
            "focl,dice:x",
            r"no label_loss is called 'focl'; did you mean 'focal'\?; dice: expected a weight > 0, got 'x'",
        ),
        ({"focal": {"gama": 2}}, r"label_loss focal: no setting 'gama'; did you mean 'gamma'\?"),
        ("dice:1:2", "'dice:1:2': expected name:weight:key=value, got '2' for key=value"),
        ("focal:gamma=x", r"label_loss focal\.gamma: should be a valid number.*got 'x'"),
        ("focal:gama=2", r"label_loss focal: no setting 'gama'; did you mean 'gamma'"),
        ([7], "expected the name of a label_loss, got 7"),
    ],
)
def test_wrong_terms_are_told(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(value)
