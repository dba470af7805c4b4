"""Frames of a sequence and the frame before each: the two images that motion is seen in."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from xvision.data.dataset import DataError
from xvision.data.folders import SPLITS, hold_out_groups, summary, with_val
from xvision.data.images import read_labels
from xvision.data.readers import Labels, Photo, Reader, ranges, spread, values_in
from xvision.data.samples import Column, Row, match, match_splits
from xvision.fields import UNKNOWN

LISTS = {split: f"{split}_pairs.txt" for split in SPLITS}
"""Files that list the samples of a split, a line "PREVIOUS CURRENT MASK" each, paths inside the set."""

_NUM_LOOKED_AT = 16


def check_gap(frame_gap: int, least: int = 1, *, every_frame: bool = True) -> None:
    if frame_gap < least:
        raise ValueError(f"data.frame_gap: expected {least} or more frames, got {frame_gap}")
    if not frame_gap and not every_frame:
        raise ValueError(
            "data.every_frame: expected data.frame_gap=1 or more beside it, for frames without labels only serve as "
            "previous ones; set data.frame_gap, or leave it out"
        )


def views(frame_gap: int) -> dict[str, Reader]:
    """How the image of a sample is read and, with a frame_gap, the frame before it."""
    return {"image": Photo(), "previous": Photo()} if frame_gap else {"image": Photo()}


def samples(
    root: Path,
    splits: Mapping[str, Sequence[Column]],
    frame_gap: int,
    *,
    every_frame: bool,
    val_ratio: float,
    split_seed: int,
) -> dict[str, list[Row]]:
    """The rows (image, labels …) of every split, of `sequences` with a frame_gap; without "val" some of "train" are it.

    Raises: DataError that lists files without a partner and sequences without a sample.
    """
    if not frame_gap:
        found = match_splits(root, splits)
        folders = {row[0].parent for row in found.get("train", ())}
        if "val" not in found and len(folders) > 1:
            warnings.warn(
                f"{root}: single images of {len(folders)} folders are held out for 'val'; if those are sequences, "
                "neighbouring frames are in both splits: make val/ yourself, or set data.frame_gap=1, which holds "
                "out whole sequences",
                stacklevel=3,
            )
        return with_val(found, val_ratio, split_seed)
    hint = "; data.every_frame=false allows frames without labels" if every_frame else ""
    by_split = sequences(root, splits, frame_gap, every_frame=every_frame, hint=hint)
    rows = {split: [row for part in parts.values() for row in part] for split, parts in by_split.items()}
    if "train" in rows and "val" not in rows and rows["train"]:
        rows |= hold_out_groups(by_split["train"], val_ratio, split_seed)
    return rows


def check_lists(root: Path, frame_gap: int) -> None:
    """A frame_gap says nothing where lists are read."""
    if frame_gap != 1:
        raise ValueError(
            f"data.frame_gap: expected no frame_gap, because the lists in {root} name the previous frames, "
            f"got {frame_gap}; leave it out, or change the lists"
        )


def sequences(
    root: Path,
    groups: Mapping[str, Sequence[Column]],
    frame_gap: int = 1,
    *,
    every_frame: bool = True,
    hint: str = "",
) -> dict[str, dict[str, list[Row]]]:
    """(image, previous, labels …) of every labelled frame: by group, then by the folder of its sequence.

    The columns of a group are frames and their labels. The previous frame is the one `frame_gap` before in the order of
    names; the first `frame_gap` frames of a sequence have none and are no samples. Unless `every_frame`, a frame may
    lack its labels, and a sequence that gives no sample is left out.

    Raises: DataError that lists files without a partner, with a `hint`, and sequences without a sample.
    """
    problems: list[str] = []
    found: dict[str, dict[str, list[Row]]] = {}
    for group, columns in groups.items():
        rows, wrong = match(columns, every_image=every_frame)
        problems += [f"{line}{hint}" for line in wrong]
        keys: dict[str, list[str]] = {}
        for key in rows:
            keys.setdefault(key.rpartition("/")[0], []).append(key)
        found[group] = {}
        for name, names in keys.items():
            frames = [rows[key] for key in in_order(names)]
            if some := _with_previous(frames, frame_gap):
                found[group][name] = some
            elif every_frame:
                first = next(file for row in frames for file in row if file is not None)
                problems.append(
                    f"{columns[0].folder / name}: expected more than {frame_gap} frames with a {columns[1].kind}, got "
                    f"{len(frames)} ({first.name}{', …' if len(frames) > 1 else ''}); add frames, make data.frame_gap "
                    "smaller, or remove them"
                )
    if problems:
        raise DataError(summary(root, problems))
    return found


def _with_previous(frames: Sequence[tuple[Path | None, ...]], frame_gap: int) -> list[Row]:
    return [
        (image, previous, *there)
        for (image, *labels), (previous, *_) in zip(frames[frame_gap:], frames, strict=False)
        if image and previous and len(there := [label for label in labels if label]) == len(labels)
    ]


def in_order(names: Iterable[str]) -> list[str]:
    """Sorted by name, numbers by their value.

    >>> in_order(["a10", "a9", "a1"])
    ['a1', 'a9', 'a10']
    """
    return sorted(names, key=lambda name: ([_part(p) for p in re.split(r"(\d+)", name)], name))


def _part(text: str) -> tuple[int, str]:
    return (int(text), "") if text.isdecimal() else (-1, text)


def read_lists(root: Path) -> dict[str, list[Row]]:
    """The samples of every split that has a list of them in `root`; none if there are no lists.

    Raises: DataError that names each line which is none, or whose files are not there.
    """
    found: dict[str, list[Row]] = {}
    problems: list[str] = []
    for split, name in LISTS.items():
        if not (root / name).is_file():
            continue
        found[split] = []
        lines = (root / name).read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            words = line.split()
            if not words:
                continue
            if len(words) != 3:
                problems.append(
                    f"{root / name}, line {number}: expected 'PREVIOUS CURRENT MASK', got '{line.strip()}'"
                )
                continue
            missing = [word for word in words if not (root / word).is_file()]
            problems += [f"{root / name}, line {number}: {word} is not there" for word in missing]
            previous, image, mask = (root / word for word in words)
            found[split].append((image, previous, mask))
    if problems:
        raise DataError(summary(root, problems))
    return found


def check_motion(root: Path, read: Labels, rows: Mapping[str, Sequence[Row]]) -> None:
    """Look at the masks of every split until something moves, and warn if nothing ever does.

    A mask with a value that means nothing ends the search: reading it is an error that says more.

    Raises: DataError if nothing moves anywhere while much is unknown: masks of a drawing program, where 255 moves.
    """
    moving = {value for value, label in read.meaning if label == 1}
    still = {value for value, label in read.meaning if label != 1}
    found: dict[str, str] = {}
    white = True
    for split, some in rows.items():
        masks = [row[-1] for row in some]
        values: set[int] = set()
        for mask in (*spread(masks, _NUM_LOOKED_AT), *masks):  # a film may begin with a long still scene
            values |= values_in(read_labels(mask, str(mask)))
            if not values <= still:
                break
        else:
            unknown = f" ({UNKNOWN} is unknown)" if UNKNOWN in values else ""
            found[split] = (
                f"{root}: nothing moves in '{split}': its {len(masks)} masks hold {ranges(values)}{unknown}, and what "
                f"moves is {ranges(moving)}; {read.hint}"
            )
            white &= UNKNOWN in values
    if len(found) == len(rows) and white:
        raise DataError("\n".join(found.values()))
    for line in found.values():
        warnings.warn(line, stacklevel=3)
