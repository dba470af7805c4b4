"""One writer for a folder: held by the operating system, said with its holder, never left by a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from xvision.runs.lock import LOCK, FolderInUse, locked

HOLDER = """
import multiprocessing, os, sys, time
from pathlib import Path
from xvision.runs.lock import locked

def work():
    print(os.getpid(), flush=True)  # it runs: what a fork does to open files is done
    time.sleep(60)

with locked(Path(sys.argv[1]), print):
    multiprocessing.get_context("fork").Process(target=work).start()
    time.sleep(60)
"""


def test_a_second_writer_is_refused_and_a_kill_leaves_no_lock(tmp_path: Path) -> None:
    """Not even while a forked child of the killed process, such as a loader's, lives on."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        host = json.loads((tmp_path / LOCK).read_text())["host"]
        with pytest.raises(FolderInUse, match=rf"process {holder.pid} on {host} does; wait") as caught:
            locked(tmp_path, print).__enter__()
        assert caught.value.exit_code == 2
        holder.kill()
        holder.wait()
        holder.stdout.close()
        os.kill(child, 0)  # it lives
        with locked(tmp_path, print):
            assert json.loads((tmp_path / LOCK).read_text())["pid"] == os.getpid()
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_lock_is_free_after_its_work(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path, print):
            pass
    with pytest.raises(RuntimeError, match="mine"), locked(tmp_path, print):
        raise RuntimeError("mine")
    with locked(tmp_path, print):
        pass


def test_where_there_are_no_locks_it_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno
    import fcntl

    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", none)
    said: list[str] = []
    with locked(tmp_path, said.append):
        pass
    assert said == [
        f"{tmp_path}: this file system has no locks (No locks available); see to it that one process alone writes here"
    ]
