"""Files that are whole or absent: written beside their place and renamed into it."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_DAY_S = 86400.0


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and vanishes if not.

    The content reaches the disk before the name does. An OSError (a full disk, say) is raised again, naming `path`.
    """
    name = path.name.encode()[:100].decode(errors="ignore")  # file systems take 255 bytes
    temporary = path.with_name(f".{name}.{socket.gethostname()[:64]}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left_over(path.parent.glob(f".{glob.escape(name)}.*.tmp"))
        yield temporary
        with temporary.open("rb") as f:
            os.fsync(f.fileno())
        os.replace(temporary, path)
    except OSError as e:
        raise OSError(
            f"{path}: cannot be written ({e.strerror or e}); what was there before is untouched"
        ) from e
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def remove_left_over(temporaries: Iterable[Path]) -> None:
    """Remove those that a process which was killed has left: of this machine at once, of another one after a day."""
    for path in temporaries:
        host, _, number = path.name.removesuffix(".tmp").rpartition(".")
        with contextlib.suppress(OSError):  # another process was faster, or it is not ours to remove
            if host.endswith(f".{socket.gethostname()[:64]}") and number.isdecimal():
                stale = not _is_running(int(number))
            else:
                stale = time.time() - path.stat().st_mtime > _DAY_S
            if stale:
                path.unlink()


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_text(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, plain: Any) -> None:
    write_text(path, json.dumps(plain, indent=1) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file; ValueError names the file when it is broken."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise ValueError(
            f"{path}: cannot be read as JSON ({e}); delete it and what made it runs again"
        ) from e


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
