"""The parity table claims nothing that does not exist, and the generated pages are fresh."""

from __future__ import annotations

import ast
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tools.parity_table import ROWS, WORKS, Row
from xvision.cli import app
from xvision.recipes import recipe

ROOT = Path(__file__).parents[2]
VERBS = {c.name or (c.callback.__name__ if c.callback else "") for c in app.registered_commands}


def test_fifty_rows_in_order() -> None:
    assert [row.number for row in ROWS] == list(range(1, 51))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"row{row.number}")
def test_a_row_claims_nothing_that_does_not_exist(row: Row) -> None:
    if row.state != WORKS:
        assert row.state.startswith(("not yet", "left out because "))
        assert (row.command, row.test, row.record) == ("", "", "")
        return
    words = shlex.split(row.command)
    at = words.index("xvision" if "xvision" in words else "xvision.cli")
    assert words[at + 1] in VERBS
    if words[at + 1] == "run":
        assert recipe.builders().keys() >= set(words[at + 2].split("+"))
        settings = [w for w in words[at + 3 :] if "=" in w and not w.isupper() and "FILE" not in w]
        subprocess.run(
            [sys.executable, "-m", "xvision.cli", "show", words[at + 2], *settings],
            check=True,
            capture_output=True,
        )
    file, _, function = row.test.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert function in names if function else any(name.startswith("test_") for name in names)
    assert not row.record or (ROOT / row.record).is_file()


def test_generated_pages_are_fresh() -> None:
    subprocess.run([sys.executable, "-m", "tools.tables", "--check"], cwd=ROOT, check=True)
