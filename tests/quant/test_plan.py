"""Plans of mixed precision: limits are kept, layers are paid for once, files are read back equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from xvision.quant.findings import Kind, Sensitivity, SiteSensitivity, signal_db
from xvision.quant.plan import Limit, Plan, holds_plan, plan, predicted_db


def site(
    name: str,
    noise: float,
    *readers: str,
    kind: Kind = "activations",
    bits: int = 8,
    layers: tuple[str, ...] | None = None,
) -> SiteSensitivity:
    db = {"out": signal_db(noise)}
    return SiteSensitivity(kind, name, (name,) if layers is None else layers, readers, bits, db, db)


def made_up(*sites: SiteSensitivity, **changes: object) -> Sensitivity:
    """Noise that adds up, layers of 100 multiply-accumulates each; half a point lost for each 0.01 of noise."""
    noise = sum(one.noise for one in sites)
    readers = {reader: 100 for one in sites for reader in one.readers}
    fields = {"num_images": 32, "heads_db": {"out": signal_db(noise)}, "sites": sites, "macs": readers}
    return Sensitivity(**(fields | changes))  # type: ignore[arg-type]


FOUND = made_up(
    site("a", 0.001, "b"),
    site("b", 0.05, "c"),
    site("c", 0.02, "d"),
    site("d", 0.01, "e"),
    site("e", 0.004),
    site("out", 0.3, bits=16),  # has enough
    site("b", 0.3, "b", kind="weights"),  # eight bits, which is enough
    metric="segmentation/miou",
    float_metric=80.0,
    int8_metric=74.0,
)


@pytest.mark.parametrize(
    ("share", "layers"),
    [
        (0.26, {"b", "e"}),  # of four layers one; what no layer multiplies is free
        (0.5, {"b", "c", "e"}),
        (0.74, {"b", "c", "e"}),
        (1.0, {"a", "b", "c", "d", "e"}),
        (0.1, {"e"}),
    ],
)
def test_a_share_is_kept(share: float, layers: set[str]) -> None:
    found = plan(FOUND, FOUND.macs, Limit("share", share))
    assert found.layers == dict.fromkeys(found.layers, "a16")
    assert set(found.layers) == layers


def test_costs_decide() -> None:
    costs = {"b": 1.0, "c": 1000.0, "d": 10.0, "e": 1.0}
    assert set(plan(FOUND, costs, Limit("share", 0.02)).layers) == {"a", "c", "d", "e"}


def test_one_good_choice_beats_many_cheap_ones() -> None:
    found = made_up(site("cheap", 0.02, "x"), site("dear", 0.9, "y"))
    costs = {"x": 1.0, "y": 99.0}
    assert set(plan(found, costs, Limit("share", 0.99)).layers) == {"dear"}


def test_a_layer_is_paid_for_once() -> None:
    """A product of two tensors, of which both have more bits."""
    found = made_up(site("q", 0.1, "product"), site("k", 0.02, "product"), site("x", 0.08, "head"))
    assert set(plan(found, found.macs, Limit("share", 0.5)).layers) == {"q", "k"}


def test_weights_of_four_bits_get_eight() -> None:
    found = made_up(
        site("a", 0.1, "a", kind="weights", bits=4),
        site("a", 0.1, "b"),
        site("b", 0.01, "b", kind="weights", bits=4),
    )
    assert plan(found, found.macs, Limit("share", 1.0)).layers == {"a": "w8a16", "b": "w8"}


def test_tensors_of_one_name_are_one_choice() -> None:
    found = made_up(
        site("se_mean", 0.001, "reduce", layers=("se",)),
        site("se_mul", 0.2, "project", layers=("se", "se.gate")),
    )
    chosen = plan(found, found.macs, Limit("share", 1.0))
    assert chosen.layers == {"se": "a16", "se.gate": "a16"}
    assert "2 of 2 places" in chosen.note


def test_a_name_of_its_own_is_enough() -> None:
    found = made_up(
        site("a", 0.1, "b", layers=("block", "block.act")),
        site("b", 0.2, "c", layers=("block", "block.add")),
        site("c", 0.2, "d", layers=()),  # no name, no plan
    )
    assert plan(found, found.macs, Limit("share", 1.0)).layers == {"block.act": "a16", "block.add": "a16"}
    assert plan(found, found.macs, Limit("share", 0.4)).layers == {"block.add": "a16"}


@pytest.mark.parametrize(("gain", "number"), [(0.02, 1), (0.1, 2), (0.4, 3), (0.55, 4)])
def test_a_gain_takes_as_few_as_it_needs(gain: float, number: int) -> None:
    found = plan(FOUND, FOUND.macs, Limit("gain_db", gain))
    chosen = [one for one in FOUND.sites if one.name in found.layers and one.kind == "activations"]
    assert len(found.layers) == number
    assert predicted_db(FOUND, chosen) - signal_db(FOUND.noise) >= gain


def test_a_drop_that_is_measured() -> None:
    """Each place wins a point, whatever was expected."""
    asked = []

    def reached(sites: object) -> float:
        asked.append(len(list(sites)))  # type: ignore[call-overload]
        return 74.0 + asked[-1]

    found = plan(FOUND, FOUND.macs, Limit("drop", 3.0), reached)
    assert len(found.layers) == 3
    assert max(asked) == 5
    with pytest.raises(
        ValueError, match=r"plan: expected to reach drop=0\.5, more bits for all 5 places miss it by 0\.5"
    ):
        plan(FOUND, FOUND.macs, Limit("drop", 0.5), reached)


def test_a_drop_of_an_error_counts_upwards() -> None:
    errors = made_up(site("a", 0.1, "b"), metric="depth/abs_rel", larger_is_better=False, float_metric=10.0,
                     int8_metric=12.0)  # fmt: skip
    assert plan(errors, errors.macs, Limit("drop", 2.0)).layers == {}
    assert plan(errors, errors.macs, Limit("drop", 1.9)).layers == {"a": "a16"}


def test_a_drop_needs_a_metric() -> None:
    found = made_up(site("a", 0.1, "b"))
    with pytest.raises(ValueError, match="expected a metric that was measured, for a drop"):
        plan(found, found.macs, Limit("drop", 0.5))


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("share", 0.0, "share: expected a share above 0, at most 1, got 0"),
        ("share", 10.0, "share: expected a share above 0, at most 1, got 10"),
        ("drop", -1.0, "drop: expected a number from 0 on, got -1"),
    ],
)
def test_limits_that_are_none(kind: str, value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Limit(kind, value)  # type: ignore[arg-type]


def test_a_file_is_read_back_equal(tmp_path: Path) -> None:
    file = tmp_path / "deep/plan.yaml"
    written = plan(FOUND, FOUND.macs, Limit("share", 0.5))
    written.write(file)
    text = file.read_text()
    assert text.startswith(
        "# Mixed precision: more bits at 3 of 7 places, 0.0002 M MACs (50.0%).\n# Expected: "
    )
    assert "\nb: a16  # 0.0001 M MACs (25.0%), 7.3% of the noise\n" in text
    again = Plan.read(file)
    assert again == written
    assert again.remarks == written.remarks
    assert holds_plan(file)
    empty = Plan({}, "nothing is worth more bits")
    empty.write(file)
    assert Plan.read(file) == empty


def test_patterns_of_any_name_are_kept(tmp_path: Path) -> None:
    odd = Plan(
        {"*.se.*": "a16", "blocks.[0-2]": "w8a16", "yes": "w4", "12": "float", "a: b": "a8"}, "odd\nnames"
    )
    odd.write(tmp_path / "plan.yaml")
    assert Plan.read(tmp_path / "plan.yaml") == odd


@pytest.mark.parametrize(
    "text", ["a: 16", "a: [a16]", "- a", "a: b16", "just text", "{a: [", "data: {size: 8x8}"]
)
def test_files_that_are_no_plan(text: str, tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(text)
    assert not holds_plan(file)
    with pytest.raises(
        ValueError, match=r"(?s)plan\.yaml: .*; `xvision quantize RUN --plan FILE\.yaml` writes"
    ):
        Plan.read(file)
