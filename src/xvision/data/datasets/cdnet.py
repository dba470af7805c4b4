"""CDnet: what moves before a fixed camera."""

from __future__ import annotations

from pathlib import Path

from xvision.data.dataset import DataError, Dataset
from xvision.data.datasets import dataset
from xvision.data.detect import find_set
from xvision.data.folders import check_ratio, hold_out_ends
from xvision.data.frames import check_gap, check_lists, check_motion, read_lists, sequences
from xvision.data.readers import MOTION, Labels, Photo, Reader
from xvision.data.samples import Column, Row, photos, rows_dataset
from xvision.fields import UNKNOWN

_GRAYS = ((0, 0), (50, 0), (85, UNKNOWN), (170, UNKNOWN), (255, 1))
"""Static, hard shadow, outside the region of interest, unknown (object borders), moving: the values of groundtruth/."""


@dataset
def cdnet(*, root: str = "cdnet", val_ratio: float = 0.2, frame_gap: int = 1) -> Dataset:
    """CDnet (changedetection.net): two frames of a fixed camera and a mask of what moves.

    `root` holds videos as published (input/, groundtruth/ and temporalROI.txt, in folders up to two levels deep: the
    last `val_ratio` of each validates, the previous frame is `frame_gap` before), or {train,val}_pairs.txt with lines
    "PREVIOUS CURRENT MASK", masks 0, 1 and 255 unknown. Shadow is static; unknown pixels and those outside the region
    of interest do not count, frames that were not labelled are left out.
    Source: Wang et al., "CDnet 2014: an expanded change detection benchmark dataset" (2014).
    """
    check_ratio(val_ratio)
    check_gap(frame_gap)
    place, videos = find_set(
        "cdnet",
        root,
        _recognise,
        holds="CDnet as VIDEO/input/ and VIDEO/groundtruth/, or train_pairs.txt",
        get="Download videos from http://changedetection.net, or set data.root to where they are.",
    )
    if isinstance(videos, list):
        rows, masks = _rows(place, videos, frame_gap, val_ratio), Labels(_GRAYS)
    else:
        check_lists(place, frame_gap)
        rows, masks = videos, Labels(MOTION)
    readers: dict[str, Reader] = {"image": Photo(), "previous": Photo(), "motion": masks}
    made = rows_dataset("cdnet", place, readers, rows)
    check_motion(place, masks, rows)
    return made


def detect(root: Path) -> str | None:
    """'cdnet' if there are videos as they are published."""
    return "cdnet" if root.is_dir() and _videos(root) else None


def _recognise(root: Path) -> list[Path] | dict[str, list[Row]]:
    return _videos(root) or read_lists(root)


def _videos(root: Path) -> list[Path]:
    """The folders of videos: `root`, or of a category, or of all of them."""
    return sorted(
        path.parent
        for above in ("", "*/", "*/*/")
        for path in root.glob(f"{above}groundtruth")
        if (path.parent / "input").is_dir()
    )


def _rows(root: Path, videos: list[Path], frame_gap: int, val_ratio: float) -> dict[str, list[Row]]:
    """The labelled frames of every video."""
    columns = {
        video.relative_to(root).as_posix(): (
            Column("frame", video / "input", photos(video).suffixes, prefix="in"),
            Column("mask", video / "groundtruth", prefix="gt"),
        )
        for video in videos
    }
    found = sequences(root, columns, frame_gap)
    labelled = {}
    for name, by_folder in found.items():
        first, last = _labelled(root / name / "temporalROI.txt")
        rows = [row for rows in by_folder.values() for row in rows]
        labelled[name] = [row for row in rows if first <= int(row[0].stem.removeprefix("in")) <= last]
    return hold_out_ends(labelled, val_ratio)


def _labelled(file: Path) -> tuple[int, int]:
    """The numbers of the first and the last frame that is labelled."""
    try:
        first, last = map(int, file.read_text(encoding="utf-8").split())
    except (OSError, ValueError) as error:
        raise DataError(
            f"{file}: expected the numbers of the first and the last labelled frame, got '{error}'"
        ) from error
    return first, last
