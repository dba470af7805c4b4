"""Folders that xvision makes: new or empty ones become its own by a marker, others are left alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

from xvision.runs.lock import LOCK

Kind = Literal["run", "predictions", "dump"]
OPTIONS: dict[Kind, str] = {"run": "--out", "predictions": "--out", "dump": "--dump"}
"""What names the folder on the command line."""


def marker(kind: Kind) -> str:
    """The file that says what a folder holds; it travels with copies."""
    return f".xvision-{kind}"


def claim(folder: Path, kind: Kind) -> None:
    """Make `folder` one of xvision's, if it is new or empty; nothing changes if it is one of this kind already.

    Raises: ValueError if something else lies there.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(
            f"{folder}: expected a folder for a {_noun(kind)}, got a file; choose another {OPTIONS[kind]}"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / marker(kind)).is_file():
        return
    if any(file.name != LOCK for file in folder.iterdir()):
        raise ValueError(
            f"{folder}: expected a new or empty folder for a {_noun(kind)}, or one that xvision made for it, got a "
            f"folder with other files; choose another {OPTIONS[kind]}"
        )
    (folder / marker(kind)).touch()


def set_aside(folder: Path, kind: Kind) -> None:
    """Rename a folder of xvision, if it is there, to the first free FOLDER.old-N.

    Raises: ValueError if it is not one that xvision made.
    """
    if not folder.exists():
        return
    claim(folder, kind)
    n = 1
    while (old := folder.with_name(f"{folder.name}.old-{n}")).exists():
        n += 1
    folder.rename(old)


@contextmanager
def leaving_nothing(folder: Path, kind: Kind) -> Iterator[None]:
    """Work that fails in here before it has left anything leaves no folder behind."""
    try:
        yield
    except BaseException:
        own = {marker(kind), LOCK}
        if (
            folder.is_dir()
            and (folder / marker(kind)).is_file()
            and {f.name for f in folder.iterdir()} <= own
        ):
            for name in own:
                (folder / name).unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()
        raise


def next_folder(name: str) -> Path:
    """The first free folder for a run of a recipe."""
    n = 1
    while (folder := Path("runs") / f"{name}-{n}").exists():
        n += 1
    return folder


def _noun(kind: Kind) -> str:
    return "prediction" if kind == "predictions" else kind
