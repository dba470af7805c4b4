"""Files are whole or absent."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from xvision.files import read_json, replacing, write_json, write_text


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "deep/a.json", {"a": 1})
    write_json(tmp_path / "deep/a.json", {"a": 2})
    assert read_json(tmp_path / "deep/a.json") == {"a": 2}
    assert [f.name for f in (tmp_path / "deep").iterdir()] == ["a.json"]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "old")

    def fill_the_disk() -> None:
        with replacing(tmp_path / "a") as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(
        OSError, match=r"a: cannot be written \(No space left on device\); what was there before"
    ):
        fill_the_disk()
    assert (tmp_path / "a").read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["a"]


def test_broken_json_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(ValueError, match=r"b\.json: cannot be read as JSON"):
        read_json(tmp_path / "b.json")
    with pytest.raises(ValueError, match=r"c\.json: cannot be read as JSON"):
        read_json(tmp_path / "c.json")
