"""One writer for a folder: a lock that the operating system holds, so that a kill never leaves it.

Source: flock(2) by `filelock`. A forked child (a loader process) shares the descriptor and would keep the lock after a
SIGKILL of its parent; `filelock` closes its copy.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK = ".lock"
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What file systems without locks answer."""


class FolderInUse(ValueError):
    """Another process writes into the folder; `exit_code` is what the command returns."""

    exit_code = 2


@contextmanager
def locked(folder: Path, warn: Callable[[str], None]) -> Iterator[None]:
    """Be the only one that writes into `folder`, which exists.

    Where the file system has no locks a line says so, and no process is refused.
    Raises: FolderInUse with process and host of the one that holds it.
    """
    import filelock

    path = folder / LOCK
    lock = filelock.FileLock(
        path, blocking=False, thread_local=False, fallback_to_soft=False, preserve_lock_file=True,
        on_acquired=_sign,
    )  # fmt: skip
    try:
        lock.acquire()
    except filelock.Timeout:
        raise FolderInUse(
            f"{folder}: expected a folder that no other process writes to, {_holder(path)} does; wait for it, or "
            "choose another --out"
        ) from None
    except OSError as e:
        if e.errno not in NO_LOCKS:
            raise
        warn(
            f"{folder}: this file system has no locks ({e.strerror}); see to it that one "
            "process alone writes here"
        )
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):  # the folder may have been renamed, or be gone
            lock.release()


def _sign(descriptor: int) -> None:
    """Say who holds the lock, in the locked file itself."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)


def _holder(path: Path) -> str:
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return f"process {said['pid']} on {said['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
