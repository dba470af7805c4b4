"""Parts in an order that counts: short form, stored form, keys of their own."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import BaseModel

import xvision as xv
from xvision.config.ordered import OrderedParts, ordered_parts_of
from xvision.quant.methods import method
from xvision.quant.rungs import rung

read = ordered_parts_of(rung).parse


class Section(BaseModel):
    rungs: Annotated[OrderedParts, ordered_parts_of(rung)]


def test_the_short_form_is_names_with_settings() -> None:
    parts = read("mse,adaround:steps=20:lr=0.1")
    assert parts.names == ("mse", "adaround")
    assert parts["adaround"] == rung.adaround(steps=20, lr=0.1)
    assert parts == read(["mse", rung.adaround(steps=20, lr=0.1)]) == read(parts)
    assert read(rung.mse()) == read("mse")


def test_it_is_stored_in_its_order_and_reads_back() -> None:
    parts = read("mse,bias,percentile:percent=99")
    stored = Section(rungs=parts).model_dump(mode="json")["rungs"]
    assert stored == ["mse", "bias", {"percentile": {"percent": 99.0}}]
    assert read(stored) == parts


def test_another_order_is_another_recipe() -> None:
    one, other = (
        xv.recipe("classification", f"quant.rungs={text}")
        for text in ("mse,bias,weights", "mse,weights,bias")
    )
    assert one.id != other.id
    assert one.quant.method == method.ptq(rungs="mse,bias,weights")


def test_settings_of_parts_inside_are_keys() -> None:
    recipe = xv.recipe("classification", "quant.adaround.steps=7", "quant.rungs=mse,adaround")
    rungs = recipe.quant.method.value("rungs")
    assert (rungs.names, rungs["adaround"].settings["steps"]) == (("mse", "adaround"), 7)
    again = type(recipe).model_validate(recipe.to_dict())
    assert (again, again.id) == (recipe, recipe.id)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "expected at least one rung, got none; known: "),
        ("mse,bias,mse", "the rung 'mse' is named twice; name each once"),
        ("mse,biass", r"no rung is called 'biass'; did you mean 'bias'\?"),
        ("adaround:20", "'adaround:20': expected name:key=value, got '20' for key=value"),
        ("adaround:steps=x,mze", r"adaround\.steps: should be a valid integer.*; no rung is called 'mze'"),
        (7, "expected names of rungs, joined by commas, got 7"),
        ([7], "expected the name of a rung, got 7"),
    ],
)
def test_wrong_parts_are_told(value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(value)
