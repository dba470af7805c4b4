"""Where data lie and what files contain."""

from __future__ import annotations

import hashlib
import json
import os

import pytest

from xvision.data.sources import cache_folder, digest, file_hashes, find_root


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


HINTS = {"setting": "data.root", "holds": "pictures", "get": "Paint some."}


def test_a_relative_root_is_looked_for_here_and_then_in_xvision_data(tmp_path, monkeypatch):
    home, here = tmp_path / "home", tmp_path / "here"
    (home / "both").mkdir(parents=True)
    (home / "there").mkdir()
    (here / "both").mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.setenv("XVISION_DATA", str(home))
    assert find_root("both", **HINTS).resolve() == here / "both"
    assert find_root("there", **HINTS) == home / "there"
    assert find_root(str(here), **HINTS) == here


def test_a_missing_root_is_told_with_every_place_looked_at(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XVISION_DATA", "/somewhere")
    with pytest.raises(
        ValueError, match=rf"data.root: expected pictures; looked for {tmp_path}/no and /somewhere/no, n"
    ):
        find_root("no", **HINTS)
    monkeypatch.delenv("XVISION_DATA")
    with pytest.raises(ValueError, match=r"\(XVISION_DATA is not set\), nothing is there. Paint some."):
        find_root("no", **HINTS)
    with pytest.raises(ValueError, match=r"looked for /no/where, nothing is there"):
        find_root("/no/where", **HINTS)


def test_the_cache_lies_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("XVISION_CACHE", "/some/place")
    assert str(cache_folder()) == "/some/place"
    monkeypatch.delenv("XVISION_CACHE")
    assert str(cache_folder()).endswith("/.cache/xvision")


def test_hashes_are_remembered_until_a_file_changes(tmp_path, own_cache):
    for name in "ab":
        (tmp_path / name).write_text(name)
    expected = [sha256(name) for name in "ab"]
    assert file_hashes(tmp_path, ["a", "b"]) == expected
    (memo,) = (own_cache / "hashes").iterdir()
    kept = json.loads(memo.read_text())
    kept["a"][1] = "from memory"
    memo.write_text(json.dumps(kept))
    assert file_hashes(tmp_path, ["a", "b"]) == ["from memory", expected[1]]
    (tmp_path / "a").write_text("cc")
    assert file_hashes(tmp_path, ["a", "b"]) == [sha256("cc"), expected[1]]


@pytest.mark.parametrize("way", ["written over", "replaced"])
def test_another_file_of_the_same_size_and_time_is_noticed(tmp_path, own_cache, way):
    file = tmp_path / "a"
    file.write_text("a")
    os.utime(file, (1e9, 1e9))
    assert file_hashes(tmp_path, ["a"]) == [sha256("a")]
    new = file if way == "written over" else tmp_path / "new"
    new.write_text("c")
    os.utime(new, (1e9, 1e9))
    new.rename(file)
    assert file_hashes(tmp_path, ["a"]) == [sha256("c")]


def test_a_damaged_memory_of_hashes_is_written_again(tmp_path, own_cache):
    (tmp_path / "a").write_text("a")
    first = file_hashes(tmp_path, ["a"])
    (memo,) = (own_cache / "hashes").iterdir()
    for content in ("", "[1]", '{"a": 3}'):
        memo.write_text(content)
        assert file_hashes(tmp_path, ["a"]) == first


def test_hashes_need_no_place_to_be_remembered(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("a")
    monkeypatch.setenv("XVISION_CACHE", str(tmp_path / "a" / "no folder"))
    assert file_hashes(tmp_path, ["a"]) == [sha256("a")]


def test_a_file_that_vanished_is_named(tmp_path, own_cache):
    with pytest.raises(
        ValueError, match=r"gone.jpg: expected a readable file of the data set, got 'No such file"
    ):
        file_hashes(tmp_path, ["gone.jpg"])


def test_a_digest_depends_on_names_contents_and_order():
    lists = [[("a", "1"), ("b", "2")], [("b", "2"), ("a", "1")], [("a", "2"), ("b", "1")], [("a", "1")]]
    assert len({digest(entries) for entries in lists}) == 4
