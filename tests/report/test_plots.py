"""Plots: small SVG that stands in a page, whatever the classes are called."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ET

import pytest

from tests.report.made_up_run import make_evaluation
from xvision.report import plots
from xvision.runs.contents import TrainLine, ValLine


def lines(num: int) -> list[TrainLine]:
    return [TrainLine(step=i, lr=0.1, loss=2.0 / (1 + i)) for i in range(num)]


def parse(svg: str) -> ET.Element:
    """The element; outside HTML the prefix of links must be known."""
    return ET.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="x" ', 1))


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in parse(svg).iter("text")]


def test_text_stays_text_and_is_escaped() -> None:
    svg = plots.confusion([[3, 1], [0, 4]], ["<b>cat</b>", "$\\frac{1}$"], 0, "Float")
    assert {"<b>cat</b>", "$\\frac{1}$", "3", "4", "predicted", "label"} <= set(texts(svg))
    assert "<b>" not in svg


def test_a_confusion_matrix_says_where_its_numbers_are_percent() -> None:
    svg = plots.confusion([[30_000, 10_000], [0, 40_000]], ["a", "b"], 0, "Float")
    assert {"75", "25", "100", "predicted, % of the label"} <= set(texts(svg))


def test_plots_do_not_clash_and_point_nowhere() -> None:
    table = [[3, 1], [0, 4]]
    svgs = [plots.confusion(table, ["a", "b"], place, "title") for place in (0, 1)]
    svgs.append(plots.losses(lines(50)))
    ids = [i for svg in svgs for i in re.findall(r'\bid="([^"]*)"', svg)]
    assert len(ids) == len(set(ids)) > 0
    for svg in svgs:
        used = set(re.findall(r"(?:url\(#|xlink:href=\"#)([^)\"]*)", svg))
        assert used == set(re.findall(r'\bid="([^"]*)"', svg))
        assert "://" not in svg
        assert "<style" not in svg


@pytest.mark.parametrize(("num_classes", "labelled"), [(2, True), (20, True), (21, False), (100, False)])
def test_a_confusion_matrix_is_readable_at_any_size(num_classes: int, labelled: bool) -> None:
    names = [f"class {i}" for i in range(num_classes)]
    table = make_evaluation(names)["confusions"][0]["table"]
    svg = plots.confusion(table, names, 1, "Int8")
    assert ("class 1" in texts(svg)) == labelled
    assert len(svg) < 150_000


def test_a_class_without_samples_is_an_empty_row() -> None:
    assert "0" not in texts(plots.confusion([[0, 0], [0, 4]], ["a", "b"], 0, "Float"))


def test_long_curves_stay_small() -> None:
    assert len(plots.losses(lines(20_000))) < 60_000
    assert "Training loss" in texts(plots.losses(lines(1)))


def test_the_value_of_the_network_that_was_kept_is_marked() -> None:
    values = [50.0, 41.26, 70.0]
    found = [ValLine(step=i, val={"abs_rel": v}) for i, v in enumerate(values)]
    assert "41.26" in texts(plots.metric(found, "abs_rel", "error", 1))
    for kept in (None, 7):
        assert not {"50.00", "41.26", "70.00"} & set(texts(plots.metric(found, "abs_rel", "error", kept)))
    undefined = [ValLine(step=0, val={"top1": math.nan})]
    assert "Validation: top-1" in texts(plots.metric(undefined, "top1", "top-1"))


def test_bars_of_every_class() -> None:
    svg = plots.per_class(
        {"float": [90.0, 80.0], "int8": [89.0, 81.0]}, ["cat", "a very long name indeed"], "Found"
    )
    assert {"cat", "a very long n…", "float", "int8", "Found"} <= set(texts(svg))
