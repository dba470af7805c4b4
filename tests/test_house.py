"""The house: imports go one way, rooms have names, nothing speaks of the place it was built in."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src/xvision"

# Lower rooms know nothing of higher ones; rooms of one floor know nothing of each other.
FLOORS = (
    ("fields", "files", "console", "config"),
    ("graph",),
    ("data", "models"),
    ("tasks",),
    ("train",),
    ("quant",),
    ("targets",),
    ("analysis", "export"),
    ("recipes",),
    ("runs",),
    ("report", "predict"),
    ("pipeline",),
    ("cli", "__init__"),
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
LOOSE = {"__init__", "cli", "console", "fields", "files"}


def _room(file: Path) -> str:
    return file.relative_to(SOURCE).parts[0].removesuffix(".py")


def _module(file: Path) -> str:
    parts = ["xvision", *file.relative_to(SOURCE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = sorted(SOURCE.rglob("*.py"))
MODULES = {_module(file): file for file in FILES}


def _imported(file: Path) -> Iterator[str]:
    """Modules of ours that a file imports anywhere: in functions, for types only, and `import xvision` itself."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{file}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            while name and name not in MODULES:
                name = name.rpartition(".")[0]
            if name:
                yield name


def test_imports_go_one_way() -> None:
    wrong = []
    for file in FILES:
        room = _room(file)
        assert room in LEVEL, f"{file}: a new room; give it a place in FLOORS"
        for name in _imported(file):
            other = _room(MODULES[name])
            if other != room and LEVEL[other] >= LEVEL[room]:
                wrong.append(f"{file.relative_to(SOURCE)} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_no_circles() -> None:
    """Not even for types: each file can be read after those that it imports."""
    graph = {name: {n for n in _imported(file) if n != name} for name, file in MODULES.items()}
    # a package's own __init__ holds its registry and knows none of its files
    while ends := {name for name, needs in graph.items() if not needs}:
        graph = {name: needs - ends for name, needs in graph.items() if name not in ends}
    circles = {name: sorted(needs & graph.keys()) for name, needs in graph.items()}
    assert not graph, "\n".join(f"{name} <- {needs}" for name, needs in circles.items())


def test_rooms_have_names() -> None:
    nameless = {"utils", "helpers", "common", "base", "misc"}
    assert not [file for file in FILES if file.stem in nameless]
    assert {file.stem for file in SOURCE.glob("*.py")} == LOOSE
    readme = {file.stem for file in (ROOT / "tools").glob("*.py")}
    assert readme, "tools of the repository lie in tools/, not in the package"


def test_no_two_classes_have_one_name() -> None:
    named: dict[str, list[Path]] = {}
    for file in FILES:
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                named.setdefault(node.name, []).append(file.relative_to(SOURCE))
    assert not {name: files for name, files in named.items() if len(files) > 1}


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
