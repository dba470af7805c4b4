"""The table of names that changed points to what there is."""

from __future__ import annotations

import importlib
import importlib.util
import json
from functools import reduce
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / "tools"
TABLE = json.loads((TOOLS / "renamed.json").read_text())


def test_new_names_exist_and_old_modules_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(TOOLS)  # where functions lie whose arguments changed
    for old, new in TABLE["modules"].items():
        importlib.import_module(new)
        assert (
            importlib.util.find_spec(old.rpartition(".")[0]) is None or importlib.util.find_spec(old) is None
        ), old
    for new in TABLE["names"].values():
        module, _, path = new.partition(":")
        reduce(getattr, path.split("."), importlib.import_module(module))


def test_keys_are_sorted_and_of_known_kinds() -> None:
    assert set(TABLE) <= {"settings", "metrics", "modules", "names"}
    for kind, names in TABLE.items():
        assert list(names) == sorted(names), kind
        assert not [old for old, new in names.items() if old == new], kind
