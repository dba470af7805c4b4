"""What folders of a data set hold: its splits under their usual names, its files without what systems leave behind."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from xvision.data.dataset import DataError
from xvision.data.rng import Purpose, permutation
from xvision.data.sources import find_root

SPLITS = {"train": ("train", "training"), "val": ("val", "valid", "validation"), "test": ("test", "testing")}
MAX_LISTED = 10
_SYSTEM_NAMES = ("thumbs.db", "desktop.ini", "__macosx")  # ignored like hidden files and folders

Row = TypeVar("Row")


def own_folder(root: str, holds: str, layout: str) -> Path:
    """The folder of somebody's own data at `root`.

    Raises: DataError that says what should be there, where `root` is not a folder.
    """
    if not root:
        raise DataError(f"data.root: expected the folder of {holds} ({layout}); set data.root=DIR")
    place = find_root(
        root, setting="data.root", holds=f"{holds}, {layout}", get="Set data.root to where they are."
    )
    if not place.is_dir():
        raise DataError(f"data.root: expected a folder of {holds}, {layout}; {place} is a file")
    return place


def find_beside(file: str, root: Path) -> Path:
    """The file named by a setting: as it is, in `root`, or beside it."""
    places = [Path(file).expanduser(), root / file, root.parent / file]
    return next((place for place in places if place.is_file()), places[0])


def entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted; hidden files and those that operating systems leave are not there."""
    return sorted(
        path
        for path in folder.iterdir()
        if not path.name.startswith(".") and path.name.lower() not in _SYSTEM_NAMES
    )


def folders(folder: Path) -> Iterator[Path]:
    return (path for path in entries(folder) if path.is_dir())


def files(folder: Path, above: tuple[str, ...] = ()) -> Iterator[Path]:
    """All files below a folder, through links, each folder once on a way down."""
    here = os.path.realpath(folder)
    if here in above:
        return
    for path in entries(folder):
        if path.is_dir():
            yield from files(path, (*above, here))
        else:
            yield path


def named(folder: Path, names: Sequence[str]) -> Path | None:
    """The first folder inside that is called by one of `names`, in any case; earlier names win."""
    if not folder.is_dir():
        return None
    there = {path.name.lower(): path for path in folders(folder)}
    return next((there[name.lower()] for name in names if name.lower() in there), None)


def summary(root: Path, problems: Sequence[str]) -> str:
    """One message for all problems of a folder."""
    return listing(f"{root}: {len(problems)} problems", problems)


def listing(head: str, problems: Sequence[str]) -> str:
    """One message for several "FILE: what is wrong"; the same of several files is told once, of many the first.

    >>> print(listing("3 problems", ["a.png: is empty", "b.png: has colours", "c.png: is empty"]))
    3 problems:
      a.png: is empty
        also c.png
      b.png: has colours
    """
    if len(problems) == 1:
        return problems[0]
    alike: dict[str, list[str]] = {}
    for problem in problems:
        alike.setdefault(problem.partition(": ")[2] or problem, []).append(problem)
    told = list(alike.values())[:MAX_LISTED]
    lines = [f"{head}:"]
    for first, *others in told:
        lines.append(f"  {first}")
        names = [other.partition(": ")[0] for other in others]
        more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
        lines += [f"    also {', '.join(names[:MAX_LISTED])}{more}"] if names else []
    left = len(problems) - sum(map(len, told))
    return "\n".join([*lines, *([f"  … and {left} more"] if left else [])])


def check_ratio(val_ratio: float) -> None:
    if not 0 < val_ratio < 1:
        raise ValueError(f"data.val_ratio: expected a fraction between 0 and 1, got {val_ratio}")


def hold_out(count: int, val_ratio: float, split_seed: int, group: int = 0) -> set[int]:
    """Which of `count` things go to validation: the given fraction, at least one and never all."""
    order = permutation(split_seed, group, Purpose.SPLIT, count=count)
    return set(order[: _num_held(count, val_ratio)].tolist())


def with_val(found: Mapping[str, Sequence[Row]], val_ratio: float, split_seed: int) -> dict[str, list[Row]]:
    """The rows of every split; where "val" is missing, some of "train" are held out."""
    parts = {split: list(rows) for split, rows in found.items()}
    if "train" in parts and "val" not in parts:
        held = hold_out(len(parts["train"]), val_ratio, split_seed)
        parts["val"] = [row for i, row in enumerate(parts["train"]) if i in held]
        parts["train"] = [row for i, row in enumerate(parts["train"]) if i not in held]
    return parts


def hold_out_groups(
    groups: Mapping[str, Sequence[Row]], val_ratio: float, split_seed: int
) -> dict[str, list[Row]]:
    """Whole groups for validation, because frames of one sequence resemble each other; of a single one its end."""
    if len(groups) == 1:
        return hold_out_ends(groups, val_ratio)
    held = hold_out(len(groups), val_ratio, split_seed)
    parts: dict[str, list[Row]] = {"train": [], "val": []}
    for i, rows in enumerate(groups.values()):
        parts["val" if i in held else "train"] += rows
    return parts


def hold_out_ends(groups: Mapping[str, Sequence[Row]], val_ratio: float) -> dict[str, list[Row]]:
    """The last part of every group for validation."""
    parts: dict[str, list[Row]] = {"train": [], "val": []}
    for rows in groups.values():
        at = len(rows) - _num_held(len(rows), val_ratio)
        parts["train"] += rows[:at]
        parts["val"] += rows[at:]
    return parts


def _num_held(count: int, val_ratio: float) -> int:
    return min(max(1, round(count * val_ratio)), count - 1) if count > 1 else 0
