"""The house: imports go one way, rooms have names, nothing speaks of the place it was built in."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/xvision"

# Lower rooms know nothing of higher ones; rooms on one line know nothing of each other, but where it is said.
FLOORS = (
    ("hints", "sizes", "fields", "files", "console"),
    ("builders",),
    ("parts",),
    ("data", "models"),
    ("tasks",),
    ("train",),
    ("quant",),
    ("analysis", "targets", "export"),
    ("recipe", "report"),
    ("overrides", "composing", "describe"),
    ("folder",),
    ("results",),
    ("run",),
    ("inference",),
    ("recipes",),
    ("api",),
    ("predict",),
    ("cli",),
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


def _imports(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {name.split(".")[1] for name in found if name.startswith("xvision.")}


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda f: str(f.relative_to(SOURCE)))
def test_imports_go_one_way(file: Path) -> None:
    room = file.relative_to(SOURCE).parts[0].removesuffix(".py")
    if room == "__init__":
        return
    assert room in LEVEL, f"{file}: a new room; give it a place in FLOORS"
    upward = {r for r in _imports(file) & LEVEL.keys() if LEVEL[r] > LEVEL[room] and room != "recipes"}
    assert not upward, f"{file} imports {upward} from above"


def test_rooms_have_names() -> None:
    nameless = {"utils", "helpers", "common", "base", "misc"}
    assert not [f for f in SOURCE.rglob("*.py") if f.stem in nameless]


def test_nothing_speaks_of_the_place_it_was_built_in() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    place = re.compile(r"/(work|root|home|tmp)/|/\.library")
    wrong = []
    for name in tracked:
        file = ROOT / name
        if name == "tests/test_house.py" or not file.is_file() or file.suffix in {".png", ".jpg", ".svg"}:
            continue
        wrong += [
            f"{name}:{i}" for i, line in enumerate(file.read_text().splitlines(), 1) if place.search(line)
        ]
    assert not wrong, wrong
