"""KITTI: driving images with sparse depth from a laser scanner."""

from __future__ import annotations

from pathlib import Path

from xvision.data.dataset import DataError, Dataset
from xvision.data.datasets import dataset
from xvision.data.detect import find_set
from xvision.data.folders import SPLITS, check_ratio, hold_out_groups, summary, with_val
from xvision.data.layouts import aspect, layout
from xvision.data.readers import DepthMap, Photo
from xvision.data.samples import Column, Row, match, match_splits, photos, rows_dataset

_STEP = 1 / 256
_DEPTH = "proj_depth/groundtruth/image_02"
_IMAGES = "image_02/data"


@dataset
def kitti_depth(*, root: str = "kitti_depth", val_ratio: float = 0.2, split_seed: int = 0) -> Dataset:
    """KITTI depth: driving images with sparse depth from a laser scanner, 16-bit PNG in steps of 1/256 m.

    `root` holds rgb/ and depth/ (perhaps inside train/, val/ or sample/), or drives: DRIVE/image_02/data/ beside
    DRIVE/proj_depth/groundtruth/image_02/, inside train/ and val/ or listed in train.txt and val.txt. Without either,
    `val_ratio` of the drives is held out. Frames without depth (a drive's first and last five) are left out.
    Source: Uhrig et al., "Sparsity invariant CNNs" (2017).
    """
    check_ratio(val_ratio)
    place, found = find_set(
        "kitti_depth",
        root,
        _recognise,
        holds="KITTI as rgb/ (images at least twice as wide as high) and depth/, or drives with "
        f"{_IMAGES}/ and {_DEPTH}/",
        get="Get the depth prediction set and the raw drives from https://www.cvlibs.net/datasets/kitti/, or set "
        "data.root to where they are.",
    )
    if isinstance(found, dict):
        rows = match_splits(
            place, {s: (photos(rgb), Column("depth map", depth)) for s, (rgb, depth) in found.items()}
        )
        rows = with_val(rows, val_ratio, split_seed)
    else:
        rows = _split_drives(place, _rows(place, found), val_ratio, split_seed)
    return rows_dataset("kitti_depth", place, {"image": Photo(), "depth": DepthMap(_STEP)}, rows)


def detect(root: Path) -> str | None:
    """'kitti_depth' if there are drives; rgb/ and depth/ alone could be anything."""
    return "kitti_depth" if root.is_dir() and _drives(root) else None


def _recognise(root: Path) -> dict[str, tuple[Path, ...]] | list[Path]:
    return _folders(root) or _drives(root)


def _folders(root: Path) -> dict[str, tuple[Path, ...]]:
    columns = (("rgb",), ("depth",))
    found = layout(root, columns) or layout(root / "sample", columns)
    return found if aspect(found) >= 2 else {}


def _drives(root: Path) -> list[Path]:
    return sorted(
        path.parents[2]
        for above in ("", "*/", "*/*/")
        for path in root.glob(f"{above}{_DEPTH}")
        if path.is_dir()
    )


def _rows(root: Path, drives: list[Path]) -> dict[str, list[Row]]:
    """The frames with depth of every drive."""
    problems: list[str] = []
    rows: dict[str, list[Row]] = {}
    for drive in drives:
        if not (drive / _IMAGES).is_dir():
            problems.append(f"{drive}: expected its images in {_IMAGES}/; copy them there from the raw drive")
            continue
        columns = (Column("image", drive / _IMAGES, (".png", ".jpg")), Column("depth map", drive / _DEPTH))
        found, wrong = match(columns, every_image=False)
        problems += wrong
        pairs = [(image, depth) for image, depth in found.values() if image and depth]
        rows[drive.relative_to(root).as_posix()] = list(pairs)
    if problems:
        raise DataError(summary(root, problems))
    return rows


def _split_drives(
    root: Path, rows: dict[str, list[Row]], val_ratio: float, split_seed: int
) -> dict[str, list[Row]]:
    inside = {
        split: [row for drive in rows if drive.partition("/")[0] in names for row in rows[drive]]
        for split, names in SPLITS.items()
    }
    if any(inside.values()):
        return {split: found for split, found in inside.items() if found}
    lists = {split: root / f"{split}.txt" for split in SPLITS if (root / f"{split}.txt").is_file()}
    if not lists:
        return hold_out_groups(rows, val_ratio, split_seed)
    parts: dict[str, list[Row]] = {}
    problems = []
    for split, file in lists.items():
        drives = file.read_text(encoding="utf-8").split()
        problems += [
            f"{file}: no drive {drive} with depth in {root}" for drive in drives if drive not in rows
        ]
        parts[split] = [row for drive in drives for row in rows.get(drive, ())]
    if problems:
        raise DataError(summary(root, problems))
    return parts
