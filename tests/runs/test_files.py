"""The files of a run: staged, swapped at once, and compared with what was written."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import pytest

from xvision.files import sha256
from xvision.runs.contents import Done, Status
from xvision.runs.files import EVALUATION, SWAP, ChangedFileError, RunFiles
from xvision.runs.folder import claim, leaving_nothing, marker, set_aside
from xvision.runs.measurements import Measurements


def done(**outputs: str) -> Done:
    fixed = {
        "inputs": "x",
        "exit_code": 5,
        "started": "",
        "commit": "",
        "dirty": False,
        "wall_s": 0,
        "cpu_s": 0,
    }
    return Done.model_validate(fixed | {"outputs": {k.replace("_", "."): v for k, v in outputs.items()}})


def content(folder: Path) -> dict[str, str]:
    return {f.relative_to(folder).as_posix(): f.read_text() for f in folder.rglob("*") if f.is_file()}


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"old {name}")
    return RunFiles(tmp_path, writing=True)


def test_what_is_staged_is_read_and_takes_its_place_at_the_swap(files: RunFiles) -> None:
    before = content(files.folder)
    files.stage()
    files.write("a.txt", "new")
    assert files.path("a.txt").read_text() == "new"
    assert RunFiles(files.folder).path("a.txt").read_text() == "old a.txt", "for others nothing has changed"
    files.recover()  # as after a failure: the run is as it was
    assert content(files.folder) == before
    files.stage()
    files.write("a.txt", "new")
    files.write("deep/c.txt", "more")
    files.swap(Status(recipe_id="1"), gone=["b.txt"])
    after = content(files.folder)
    assert after.pop("status.json")
    assert after == {"a.txt": "new", "deep/c.txt": "more"}
    assert files.status.recipe_id == "1"


@pytest.mark.parametrize("stopped_after", range(7))
def test_a_swap_that_was_stopped_anywhere_is_finished_later(
    stopped_after: int, files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted in changes of the file system from the rename that decides on."""
    calls = 0

    class Stopped(BaseException):
        pass

    def stopping(change: object) -> object:
        def changed(*args: object, **more: object) -> object:
            nonlocal calls
            calls += (files.folder / SWAP).exists()
            if calls > stopped_after:
                raise Stopped
            return change(*args, **more)  # type: ignore[operator]

        return changed

    files.stage()
    files.write("a.txt", "new")
    files.write("c.txt", "more")
    with monkeypatch.context() as patch:
        for name in ("replace", "unlink", "rmdir"):
            patch.setattr(os, name, stopping(getattr(os, name)))
        with contextlib.suppress(Stopped):
            files.swap(Status(recipe_id="1"), gone=["b.txt"])
        assert calls > stopped_after or calls > 4
    reader = RunFiles(files.folder)
    assert reader.status.recipe_id == "1"
    assert reader.text("a.txt") == "new"
    assert reader.text("c.txt") == "more"
    assert not reader.has("b.txt")
    RunFiles(files.folder).recover()
    after = content(files.folder)
    assert '"recipe_id": "1"' in after.pop("status.json")
    assert after == {"a.txt": "new", "c.txt": "more"}
    assert not (files.folder / SWAP).exists()


def test_a_file_is_compared_with_what_was_written(files: RunFiles) -> None:
    files.stage()
    files.write("a.txt", "new")
    files.swap(Status(stages={"export int8": done(a_txt=sha256(files.path("a.txt")))}))
    files = RunFiles(files.folder)
    assert files.text("a.txt") == "new"
    (files.folder / "a.txt").write_text("forged")
    with pytest.raises(
        ChangedFileError, match=r"a.txt: expected the file that xvision wrote, got a ch"
    ) as caught:
        files.text("a.txt")
    assert caught.value.exit_code == 5
    assert files.text("b.txt") == "old b.txt", "nobody says what it was"


def test_a_swap_by_another_process_is_no_changed_file(
    files: RunFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It begins when the reader has found where the old file lies, and has moved nothing yet."""

    def swap(content: str) -> None:
        files.stage()
        files.write("a.txt", content)
        files.swap(Status(stages={"export int8": done(a_txt=sha256(files.path("a.txt")))}))

    swap("first")
    reader, read_status, pending = RunFiles(files.folder), RunFiles.status.fget, ["second"]
    assert read_status is not None

    def status(self: RunFiles) -> Status:
        if self is reader and pending:
            with monkeypatch.context() as patch:
                patch.setattr(RunFiles, "recover", lambda files: None)
                swap(pending.pop())
        found: Status = read_status(self)
        return found

    monkeypatch.setattr(RunFiles, "status", property(status))
    assert reader.text("a.txt") == "second"
    assert (files.folder / "a.txt").read_text() == "first"


@pytest.mark.parametrize("forged", ["{", '{"klasses": {}}', '{"classes": {}}'])
def test_measurements_are_compared_before_they_are_read(files: RunFiles, forged: str) -> None:
    measured = done().model_copy(update={"measured": (("float", "pytorch"),), "exit_code": 4})
    files.stage()
    files.write(EVALUATION, Measurements(classes={"class": ("a", "b")}))
    files.swap(Status(evaluation=sha256(files.path(EVALUATION)), stages={"train": measured}))
    assert files.evaluation.classes == {"class": ("a", "b")}
    files.path(EVALUATION).write_text(forged)
    with pytest.raises(
        ChangedFileError, match=r"evaluation.json: expected the file that xvision wrote"
    ) as caught:
        _ = files.evaluation
    assert caught.value.exit_code == 4


def test_leftovers_of_killed_writers_go(files: RunFiles) -> None:
    (files.folder / "checkpoints").mkdir()
    left = [files.folder / ".status.json.123.tmp", files.folder / "checkpoints/.last.safetensors.9.tmp"]
    for path in left:
        path.touch()
    files.recover()
    assert not any(path.exists() for path in left)


def test_folders_are_claimed_by_a_marker(tmp_path: Path) -> None:
    other = tmp_path / "photos"
    other.mkdir()
    (other / "mine.jpg").touch()
    message = "photos: expected a new or empty folder for a run, or one that xvision made for it"
    for work in (claim, set_aside):
        with pytest.raises(ValueError, match=message):
            work(other, "run")
    with pytest.raises(
        ValueError, match=r"mine.jpg: expected a folder for a run, got a file; choose another"
    ):
        claim(other / "mine.jpg", "run")
    claim(tmp_path / "run", "run")
    (tmp_path / "run/recipe.yaml").touch()
    with pytest.raises(ValueError, match="expected a new or empty folder for a prediction"):
        claim(tmp_path / "run", "predictions")
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    set_aside(tmp_path / "copy", "run")
    set_aside(tmp_path / "nothing", "run")
    assert (tmp_path / "copy.old-1" / marker("run")).is_file()


def test_what_fails_before_it_has_left_anything_leaves_no_folder(tmp_path: Path) -> None:
    for name, kept in (("empty", False), ("begun", True)):
        work = leaving_nothing(tmp_path / name, "run")
        work.__enter__()
        claim(tmp_path / name, "run")
        if kept:
            (tmp_path / name / "recipe.yaml").touch()
        assert not work.__exit__(RuntimeError, RuntimeError(), None)
        assert (tmp_path / name).exists() == kept
