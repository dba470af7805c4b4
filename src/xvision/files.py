"""Files that are whole or absent: written beside their place and renamed into it."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block ends well, and vanishes if not.

    The content reaches the disk before the name does. An OSError (a full disk, say) comes again naming `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
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
