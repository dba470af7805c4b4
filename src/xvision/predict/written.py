"""predictions.json: what `predict --out` says of the files that it wrote, read and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from xvision.config.messages import explain
from xvision.data.dataset import DataError
from xvision.files import read_json

PREDICTIONS = "predictions.json"


class Entry(BaseModel):
    """One image, or one frame of a video, with whatever was found in it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    image: str
    files: dict[str, str] = {}
    """What is in a file -> its name in the folder."""
    frame: int | None = None


class Written(BaseModel):
    """What one call has written; without `images` it did not finish, or no call is known."""

    model_config = ConfigDict(frozen=True)

    call: tuple[str, ...] = ()
    task: str | dict[str, Any] = {}
    """As in a recipe: a task without settings is its name."""
    classes: dict[str, tuple[str, ...]] = {}
    data: dict[str, Any] = {}
    images: tuple[Entry, ...] | None = None

    @property
    def entries(self) -> tuple[Entry, ...]:
        return self.images or ()

    @property
    def files(self) -> set[str]:
        return {name for entry in self.entries for name in entry.files.values()}


def read_written(folder: Path) -> Written | None:
    """predictions.json of a folder; None if there is none. Raises: DataError if it is something else."""
    path = folder / PREDICTIONS
    if not path.is_file():
        return None
    try:
        return Written.model_validate(read_json(path))
    except ValidationError as e:
        raise DataError(
            f"{path}: expected what `xvision predict --out` writes, got another file ({'; '.join(explain(e))[:300]}); "
            "remove it"
        ) from e


def inside(folder: Path, name: str) -> Path:
    """The path of a file of `folder`. Raises: ValueError if it lies elsewhere, by its name or by a link."""
    path = folder / name
    if not path.parent.resolve().is_relative_to(folder.resolve()) or path.name in ("", ".."):
        raise ValueError(
            f"{path}: expected a file in {folder}, it lies elsewhere; remove the link, or name another --out"
        )
    return path
