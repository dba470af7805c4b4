"""Two processes weigh their tasks alike, and as one process that sees everything."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("two_balanced.py")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("two")
    pair = [
        subprocess.Popen(
            [sys.executable, str(SCRIPT), str(rank), str(folder)], stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    errors = [process.communicate(timeout=120)[1] for process in pair]
    assert [process.returncode for process in pair] == [0, 0], errors
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("name", ["gradnorm", "uncertainty", "pcgrad", "dwa"])
def test_two_processes_are_as_one(said: list[dict[str, Any]], name: str) -> None:
    first, second = (s["together"][name] for s in said)
    alone = said[0]["alone"][name]
    assert first == second
    assert first["weights"] == pytest.approx(alone["weights"], rel=1e-5)
    if name != "pcgrad":  # which operates on each batch: the halves' averages are the whole's
        assert first["weights"] != [1, 1]
    assert first["network"] == pytest.approx(alone["network"], rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", ["gradnorm", "uncertainty", "pcgrad", "dwa"])
def test_a_process_without_any_label_keeps_step(said: list[dict[str, Any]], name: str) -> None:
    first, second = (s["partial"][name] for s in said)
    assert first == second
    assert first["network"] != said[0]["together"][name]["network"]
