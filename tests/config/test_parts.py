"""Parts and registries: names and settings are read without importing, checked when written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from xvision.config.parts import Part, Parts, Registry, part_of, parts_of


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """A package of parts, one of which cannot be imported."""
    package = tmp_path / f"shelf_{tmp_path.name}"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from typing import Annotated\n"
        "from xvision.config.parts import Registry\n"
        "from xvision.config.weighted import WeightedParts, weighted_parts_of\n"
        "lamp = Registry('lamp', __name__)\n"
        "Lamps = Annotated[WeightedParts | str, weighted_parts_of(lamp)]\n"
    )
    (package / "bright.py").write_text(
        f"from {package.name} import lamp\n"
        "@lamp\n"
        "def bright(given: str, *, power_w: float = 5.0, size: Size = '2x3', colours: tuple[str, ...] = ()) -> str:\n"
        "    '''A bright lamp.\n\n    More.'''\n"
        "    return f'{given} {power_w} {size} {colours}'\n"
    )
    (package / "broken.py").write_text(
        "import nothing_like_this\n@lamp\ndef broken(*, must: int) -> None: ...\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    (package / "bright.py").write_text(
        "from __future__ import annotations\n" + (package / "bright.py").read_text()
    )
    return Registry("lamp", package.name)


def test_names_and_summaries_come_without_importing(shelf: Registry) -> None:
    assert {n: b.summary for n, b in shelf.builders().items()} == {"bright": "A bright lamp.", "broken": ""}


def test_a_part_is_checked_when_written_and_built_later(shelf: Registry) -> None:
    part = shelf.bright(power_w="7", colours=["red"])
    assert part.settings == {"power_w": 7.0, "size": "2x3", "colours": ("red",)}
    assert part.build("on") == "on 7.0 (2, 3) ('red',)"
    assert part == shelf.part("bright", {"power_w": 7, "colours": ("red",)})


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda s: s.bright(powerw=1), "powerw"),
        (lambda s: s.bright(power_w="much"), "valid number"),
        (lambda s: s.bright(size="2by3"), "HEIGHTxWIDTH"),
        (lambda s: s.broken(), "must"),
        (lambda s: s.brigth(), r"no lamp is called 'brigth'; did you mean 'bright'\?"),
        (lambda s: s.x_y(), "known: bright, broken"),
    ],
)
def test_what_is_wrong_is_said_at_once(shelf: Registry, write: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write(shelf)  # type: ignore[operator]


def test_a_name_defined_twice_names_both_modules(shelf: Registry, tmp_path: Path) -> None:
    package = tmp_path / f"shelf_{tmp_path.name}"
    (package / "again.py").write_text("@lamp\ndef bright() -> None: ...\n")
    with pytest.raises(ValueError, match=r"'bright' is defined twice: in .*again and in .*bright"):
        shelf.builders()


def test_a_builder_from_outside_the_folder(shelf: Registry) -> None:
    @shelf
    def own(*, level: int = 1) -> int:
        """My own."""
        return level

    assert shelf.own(level=3).build() == 3


Colour = Literal["red", "blue"]


def test_annotations_of_a_builder_from_outside_are_those_of_its_own_module(shelf: Registry) -> None:
    @shelf
    def painted(*, colour: Colour = "red") -> str:
        """A painted lamp."""
        return colour

    assert shelf.painted(colour="blue").build() == "blue"
    with pytest.raises(ValueError, match=r"painted\.colour: .*'red' or 'blue'"):
        shelf.painted(colour="green")


def test_a_setting_may_hold_weighted_parts_of_another_registry(shelf: Registry, tmp_path: Path) -> None:
    name = f"shelf_{tmp_path.name}"
    (tmp_path / name / "room.py").write_text(
        f"from __future__ import annotations\nfrom {name} import Lamps, lamp\n"
        "@lamp\ndef room(*, lamps: Lamps = 'bright,broken:2') -> dict[str, float]:\n"
        "    return {term.name: term.weight for term in lamps}\n"
    )
    with pytest.raises(ValueError, match=r"lamp room\.lamps: lamp broken\.must: Field required"):
        shelf.room()
    part = shelf.room(lamps="bright:0.5")
    assert part.build() == {"bright": 0.5}
    assert part.to_yaml()["room"]["lamps"]["bright"]["weight"] == 0.5  # type: ignore[index]
    assert part_of(shelf).parse(part.to_yaml()) == part
    assert part_of(shelf).parse("room:bright:0.5") == part


def test_text_and_yaml_forms(shelf: Registry) -> None:
    read = part_of(shelf).parse
    assert read("bright:9") == shelf.bright(power_w=9)
    assert read({"bright": {"power_w": 9}}) == read(shelf.bright(power_w=9))
    part = shelf.bright()
    assert read(part.to_yaml()) == part
    with pytest.raises(ValueError, match="expected the name of a lamp, got 7"):
        read(7)
    foreign = _fake(Registry("shade", "xvision.tasks"))
    with pytest.raises(ValueError, match="expected a lamp, got the shade 'bright'"):
        read(foreign)


def _fake(registry: Registry) -> Part:
    part = object.__new__(Part)
    for key, value in {"registry": registry, "name": "bright", "settings": {}}.items():
        object.__setattr__(part, key, value)
    return part


def test_importing_the_package_and_the_recipes_imports_no_torch() -> None:
    code = (
        "import sys, xvision, xvision.cli, xvision.recipes.schema\n"
        "from xvision.recipes import recipe\n"
        "[b.load()() for b in recipe.builders().values()]\n"
        "heavy = {'torch', 'torchvision', 'timm', 'cv2', 'matplotlib', 'onnxruntime'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ------------------------------------------------------------------------------------------------ several parts


def test_several_parts_read_from_text_and_mappings(shelf: Registry) -> None:
    read = parts_of(shelf).parse
    one, two = shelf.bright(power_w=9), shelf.broken(must=1)
    assert read("bright:9") == read(one) == read({"bright": {"power_w": 9}})
    both = read({"bright": {"power_w": 9}, "broken": {"must": "1"}})
    assert both.parts == (one, two)
    assert both.name == "bright+broken"
    assert both["broken"] == two
    assert read(both) == both
    assert both.replace("bright", shelf.bright()).parts == (shelf.bright(), two)


def test_one_part_is_stored_as_itself_and_several_as_a_mapping(shelf: Registry) -> None:
    read = parts_of(shelf).parse
    one = read("bright:9")
    both = read({"bright": {"power_w": 9}, "broken": {"must": 1}})
    assert one.to_yaml() == shelf.bright(power_w=9).to_yaml()
    assert isinstance(both.to_yaml(), dict)
    assert [list(parts.to_yaml()) for parts in (one, both)] == [["bright"], ["bright", "broken"]]
    assert all(read(parts.to_yaml()) == parts for parts in (one, both))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("bright+bright", "the lamp 'bright' is named twice; name each once"),
        ("bright+", "no lamp is called ''; known: bright, broken"),
        ("bright+brokn", "no lamp is called 'brokn'; did you mean 'broken'"),
        ({"bright": {"watts": 1}}, "lamp bright: no setting 'watts'"),
        ({}, "expected the name of a lamp, got {}"),
        (7, "expected the name of a lamp, got 7"),
    ],
)
def test_wrong_parts(shelf: Registry, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parts_of(shelf).parse(value)


def test_parts_of_another_kind_are_refused(shelf: Registry) -> None:
    foreign = _fake(Registry("shade", "xvision.tasks"))
    with pytest.raises(ValueError, match="expected a lamp, got the shade 'bright'"):
        parts_of(shelf).parse(Parts(foreign.registry, (foreign,)))
