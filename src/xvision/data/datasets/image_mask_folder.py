"""A folder of images and a folder of label images."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Iterable
from pathlib import Path

from xvision.data.dataset import DataError, Dataset
from xvision.data.datasets import dataset
from xvision.data.folders import MAX_LISTED, check_ratio, files, find_beside, own_folder, summary, with_val
from xvision.data.frames import LISTS
from xvision.data.images import read_labels
from xvision.data.pairs import (
    IMAGES,
    MASKS,
    UNKNOWN,
    Column,
    Labels,
    Photo,
    Reader,
    class_ids,
    layout,
    match_splits,
    photos,
    rows_dataset,
    values_in,
)
from xvision.data.sources import cache_folder, digest, file_hashes
from xvision.files import write_text

GENERIC = True  # sets with a name may have this layout too: see `xvision.data.detect`

_LAYOUT = (
    "ROOT/train/images/*.jpg, ROOT/train/masks/*.png and the same in ROOT/val, or ROOT/images and ROOT/masks"
)


@dataset
def image_mask_folder(
    *,
    root: str = "",
    classes: str = "",
    images: str = "",
    masks: str = "",
    val_ratio: float = 0.2,
    split_seed: int = 0,
) -> Dataset:
    """Your own images and label PNGs (gray or palette ids), in train/ and val/ or all in one place.

    An image and its mask have the same name but for the ending. Ids count from 0, 255 is unknown. `images` and `masks`
    name their folders if they are called unusually. The file `classes`, looked for here and then in `root` and above
    it, has a line with a name for each id in order; without it all masks are read once to find the largest id.
    Without val/, `val_ratio` is held out, drawn by `split_seed`.

    Raises: DataError that lists files without a partner.
    """
    check_ratio(val_ratio)
    place = own_folder(root, "images and masks", _LAYOUT)
    found = layout(place, ((images,) if images else IMAGES, (masks,) if masks else MASKS))
    if not found:
        raise DataError(
            f"{place}: expected images and masks, {_LAYOUT}; it holds no such folders; rename them, or set "
            "data.images and data.masks to their names"
        )
    splits = {split: (photos(a), Column("mask", b)) for split, (a, b) in found.items()}
    rows = with_val(match_splits(place, splits), val_ratio, split_seed)
    names = (
        _read_names(find_beside(classes, place))
        if classes
        else _count_classes(place, [row[1] for split in rows.values() for row in split])
    )
    hint = f"mend the mask, write {UNKNOWN} where nothing is known, or name more classes in {classes or 'data.classes'}"
    readers: dict[str, Reader] = {"image": Photo(), "segmentation": Labels(class_ids(len(names)), hint)}
    return rows_dataset("image_mask_folder", place, readers, rows, {"segmentation": names})


def detect(root: Path) -> str | None:
    """'image_mask_folder' if images and masks lie in folders of their own, not in sequences."""
    if not root.is_dir() or any((root / name).is_file() for name in LISTS.values()):
        return None
    found = layout(root, (IMAGES, MASKS))
    first = next((file for _, masks in found.values() for file in files(masks)), None)
    flat = first is not None and first.suffix == ".png" and any(first.parent == m for _, m in found.values())
    return "image_mask_folder" if flat else None


def _read_names(file: Path) -> tuple[str, ...]:
    try:
        names = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise DataError(
            f"data.classes: expected a text file with a line for each class; {file} cannot be read ({error})"
        ) from error
    if not 2 <= len(names) <= UNKNOWN or len(set(names)) < len(names):
        raise DataError(
            f"data.classes: expected 2 to {UNKNOWN} different names, a line each; {file} has {len(names)} lines, "
            f"{len(set(names))} of them different"
        )
    return names


def _count_classes(root: Path, masks: list[Path]) -> tuple[str, ...]:
    """Names for the ids that occur."""
    ids = [i for i in _ids(root, masks) if i != UNKNOWN]
    if ids and max(ids) > UNKNOWN:
        raise DataError(
            f"{_holder(masks, max(ids))}: expected ids 0 to {UNKNOWN - 1}, or {UNKNOWN} where nothing is known, came "
            f"{max(ids)}; write such ids into all masks"
        )
    if len(ids) < 2:
        raise DataError(
            f"{root}: expected masks with at least two ids below {UNKNOWN} ({UNKNOWN} is unknown), came "
            f"{', '.join(map(str, ids)) or 'none'}; write ids 0, 1, 2, … into the masks"
        )
    missing = sorted(set(range(max(ids))) - set(ids))
    if missing:
        warnings.warn(
            f"{root}: the masks hold ids up to {max(ids)}, but {len(missing)} below it never occur "
            f"({', '.join(map(str, missing[:MAX_LISTED]))}{', …' if len(missing) > MAX_LISTED else ''}); if that is "
            "wrong, mend the masks; a file data.classes with a line for each class says what there should be",
            stacklevel=4,
        )
    return tuple(f"class{i}" for i in range(max(ids) + 1))


def _ids(root: Path, masks: Iterable[Path]) -> list[int]:
    """The values that occur in the masks, sorted; remembered in the cache folder by their content."""
    names = [mask.relative_to(root).as_posix() for mask in masks]
    content = digest(zip(names, file_hashes(root, names), strict=True))
    memo = cache_folder() / "ids" / f"{content[:24]}.json"
    with contextlib.suppress(OSError, ValueError, TypeError):
        return sorted(int(i) for i in json.loads(memo.read_text(encoding="utf-8")))
    found: set[int] = set()
    problems = []
    for name in names:
        try:
            found |= values_in(read_labels(root / name, str(root / name)))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError(summary(root, problems))
    with contextlib.suppress(OSError):
        write_text(memo, json.dumps(sorted(found)))
    return sorted(found)


def _holder(masks: Iterable[Path], value: int) -> Path:
    """The first mask in which a value occurs."""
    return next(mask for mask in masks if value in values_in(read_labels(mask, str(mask))))
