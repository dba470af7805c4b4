"""Files are whole or absent."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
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


def test_what_a_killed_process_left_goes_with_the_next_write(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    host, day_s = socket.gethostname(), 86400
    dead, alive = f".a.{host}.{ended.pid}.tmp", f".a.{host}.{os.getppid()}.tmp"
    elsewhere, long_ago = ".a.another.7.tmp", ".a.another.8.tmp"
    names = {dead, alive, elsewhere, long_ago, f".b.{host}.{ended.pid}.tmp"}
    for name in names:
        (tmp_path / name).write_text("half")
    os.utime(tmp_path / long_ago, (time.time() - 2 * day_s,) * 2)
    write_text(tmp_path / "a", "whole")
    assert {f.name for f in tmp_path.iterdir()} == (names - {dead, long_ago}) | {"a"}


def test_a_name_as_long_as_file_systems_allow(tmp_path: Path) -> None:
    name = "ö" * 127
    write_text(tmp_path / name, "whole")
    assert [f.name for f in tmp_path.iterdir()] == [name]


def test_broken_json_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("{")
    with pytest.raises(ValueError, match=r"b\.json: cannot be read as JSON"):
        read_json(tmp_path / "b.json")
    with pytest.raises(ValueError, match=r"c\.json: cannot be read as JSON"):
        read_json(tmp_path / "c.json")
