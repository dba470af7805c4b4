"""The sweep over networks: a network that works, what is a refusal and what is a fault."""

from __future__ import annotations

from pathlib import Path

import networks
import torch

from tests.graph.written import Written


def test_a_network_that_works() -> None:
    found = networks.row("test_resnet", "pow2")
    assert found["status"] == "exact"
    assert found["library"] == "timm"
    assert found["max LSB"] == 0
    assert float(found["operators"]) > 10


def test_a_refusal_is_told_from_a_fault() -> None:
    branches = Written(lambda net, x: net.conv(x) if x.sum() > 0 else x)
    found = networks.outcome(branches, torch.randn(4, 3, 8, 8), "pow2")
    assert found["status"] == "refused"
    assert "got a branch" in str(found["reason"])
    assert not networks.is_one_sentence("KeyError: 'x'")


def test_every_network_is_named_once() -> None:
    names = [name for family in networks.FAMILIES.values() for name in family.split()]
    assert len(names) == len(set(names)) == 125
    assert sum(name.startswith("smp:") for name in names) == 5
    assert {networks.family_of(name) for name in names} == set(networks.FAMILIES)


def test_rows_of_another_commit_are_made_again(tmp_path: Path) -> None:
    file = tmp_path / "networks.partial"
    file.write_text('{"commit": "a", "name": "x", "row": {}}\n{"commit": "b", "name": "y", "row": {}}\n')
    assert list(networks.kept(file, "a")) == ["x"]
