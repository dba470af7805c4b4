"""Where data and caches lie, and what the files of a data set contain."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from xvision.data.dataset import DataError
from xvision.files import write_text


def find_root(root: str, *, setting: str, holds: str, get: str) -> Path:
    """The folder or file `root`: an absolute path, else relative to here, else to $XVISION_DATA.

    `holds` says what should be there and `get` how to get it, for the message.

    Raises: DataError that says where it was looked for.
    """
    home = os.environ.get("XVISION_DATA", "")
    places = [Path(root).expanduser()]
    if home and not places[0].is_absolute():
        places.append(Path(home).expanduser() / root)
    for place in places:
        if place.exists():
            return place
    looked = " and ".join(str(place.absolute()) for place in places)
    if len(places) == 1 and not places[0].is_absolute():
        looked += " (XVISION_DATA is not set)"
    raise DataError(f"{setting}: expected {holds}; looked for {looked}, nothing is there. {get}")


def cache_folder() -> Path:
    """$XVISION_CACHE, else ~/.cache/xvision; everything in it can be deleted at any time."""
    return Path(os.environ.get("XVISION_CACHE") or "~/.cache/xvision").expanduser()


def file_hashes(root: Path, files: Sequence[str]) -> list[str]:
    """The sha256 of each file, remembered in the cache folder by path, size, times and inode.

    A copy that keeps size and time of the file it replaces (an archive, ``rsync -t``) still has another inode or time
    of change (ctime), which cannot be set. Cost: the first call reads every file, later ones only ask for its state.

    Raises: DataError for a file that cannot be read.
    """
    try:
        return _file_hashes(root, files)
    except OSError as error:
        raise DataError(
            f"{error.filename}: expected a readable file of the data set, got '{error.strerror}'; fix or remove it"
        ) from error


def _file_hashes(root: Path, files: Sequence[str]) -> list[str]:
    place = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
    memo_file = cache_folder() / "hashes" / f"{place}.json"
    memo = _read_memo(memo_file)
    states = [_state(root / name) for name in files]
    new = [i for i, name in enumerate(files) if memo.get(name, ("", ""))[0] != states[i]]
    if new:
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            hashes = list(pool.map(lambda i: _sha256(root / files[i]), new))
        memo |= {files[i]: (states[i], value) for i, value in zip(new, hashes, strict=True)}
        with contextlib.suppress(OSError):  # a memo that cannot be kept costs time, nothing else
            write_text(memo_file, json.dumps(memo))
    return [memo[name][1] for name in files]


def _state(file: Path) -> str:
    """Changes whenever a file is written, replaced or touched."""
    stat = file.stat()
    return f"{stat.st_size} {stat.st_mtime_ns} {stat.st_ctime_ns} {stat.st_ino}"


def digest(entries: Iterable[Sequence[str]]) -> str:
    """The sha256 of an ordered list of entries, (name, sha256 of content) each."""
    total = hashlib.sha256()
    for entry in entries:
        total.update((json.dumps(list(entry)) + "\n").encode())
    return total.hexdigest()


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _read_memo(file: Path) -> dict[str, tuple[str, str]]:
    try:
        memo = json.loads(file.read_text(encoding="utf-8"))
        return {str(name): (str(state), str(value)) for name, (state, value) in memo.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}  # absent or damaged: hash again
