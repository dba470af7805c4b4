"""Rows of measurements: put together, and taken away, in their order."""

from __future__ import annotations

from xvision.runs.measurements import Confusion, Measurement, Measurements


def measured(network: str, executor: str, value: float) -> Measurements:
    about = {"network": network, "executor": executor, "split": "val"}
    row = Measurement(**about, metric="a/b", value=value, unit="%", version=executor)
    return Measurements(
        classes={"class": ("x", "y")},
        measurements=(row,),
        confusions=(Confusion(**about, field="class", table=((1, 0), (0, 1))),),
    )


def test_a_column_that_is_measured_again_keeps_its_place() -> None:
    both = measured("one", "p", 1).joined(measured("two", "q", 2))
    assert both.columns == (("one", "p"), ("two", "q"))
    again = both.joined(measured("one", "p", 3))
    assert [row.value for row in again.measurements] == [3, 2]
    assert [row.network for row in again.confusions] == ["one", "two"]
    assert again.joined(measured("one", "p", 1)) == both


def test_columns_are_taken_away_with_their_tables_and_the_last_with_the_classes() -> None:
    both = measured("one", "p", 1).joined(measured("two", "q", 2))
    left = both.without([("one", "p")])
    assert (left.columns, [row.network for row in left.confusions]) == ((("two", "q"),), ["two"])
    assert left.classes == both.classes
    assert left.without([("two", "q")]) == Measurements()
    assert (left.version(("two", "q")), left.version(("one", "p"))) == ("q", None)
