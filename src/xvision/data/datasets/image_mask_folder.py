"""A folder of images and a folder of label images."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from xvision.data.dataset import DataError, Dataset
from xvision.data.datasets import dataset
from xvision.data.folders import MAX_LISTED, check_ratio, files, find_beside, own_folder
from xvision.data.frames import LISTS, check_gap, samples, views
from xvision.data.images import SUFFIXES, read_labels
from xvision.data.layouts import DEPTHS, IMAGES, MASKS, layout, own_layout
from xvision.data.readers import Labels, Reader, class_ids, found_in, ranges, spread, values_in
from xvision.data.samples import Column, photos, rows_dataset
from xvision.fields import UNKNOWN

GENERIC = True  # sets with a name may have this layout too: see `xvision.data.detect`

_LAYOUT = (
    "ROOT/train/images/*.jpg, ROOT/train/masks/*.png and the same in ROOT/val, or ROOT/images and ROOT/masks"
)
_NUM_LOOKED_AT = 16


@dataset
def image_mask_folder(
    *,
    root: str = "",
    classes: str = "",
    values: tuple[int, ...] = (),
    images: str = "",
    masks: str = "",
    frame_gap: int = 0,
    every_frame: bool = True,
    val_ratio: float = 0.2,
    split_seed: int = 0,
) -> Dataset:
    """Your own images and label PNGs (gray or palette ids), in train/ and val/ or all in one place.

    An image and its mask have the same name but for the ending. Ids count from 0, 255 is unknown; where masks hold
    other numbers, `values` are those of the classes in order, such as 0,255 for black and white. `images` and `masks`
    name their folders if they are called unusually. The file `classes`, looked for here and then in `root` and above
    it, has a line with a name for each class in order; without it and `values` all masks are read once to find the
    largest id. Without val/, `val_ratio` is held out, drawn by `split_seed`.

    With a `frame_gap` the images are frames, in a folder for each sequence or one in all: `previous`, for networks
    that take it or optical flow, is the frame `frame_gap` before in the order of names (numbers by value), and whole
    sequences are held out. With every_frame=false, frames without a mask only serve as previous ones.

    Raises: DataError that lists files without a partner.
    """
    check_ratio(val_ratio)
    check_gap(frame_gap, 0, every_frame=every_frame)
    place = own_folder(root, "images and masks", _LAYOUT)
    found = own_layout(place, "images and masks", _LAYOUT, images=(images, IMAGES), masks=(masks, MASKS))
    splits = {split: (photos(a), Column("mask", b)) for split, (a, b) in found.items()}
    rows = samples(
        place, splits, frame_gap, every_frame=every_frame, val_ratio=val_ratio, split_seed=split_seed
    )
    labels, names = label_reader(place, [row[-1] for some in rows.values() for row in some], classes, values)
    readers: dict[str, Reader] = {**views(frame_gap), "segmentation": labels}
    return rows_dataset("image_mask_folder", place, readers, rows, {"segmentation": names})


def detect(root: Path) -> str | None:
    """'image_mask_folder' if images and masks lie in folders of their own, not in sequences, and no depth."""
    return "image_mask_folder" if has_masks(root) and not layout(root, (IMAGES, MASKS, DEPTHS)) else None


def has_masks(root: Path) -> bool:
    """Whether images and masks lie in folders of their own, not in sequences."""
    if not root.is_dir() or any((root / name).is_file() for name in LISTS.values()):
        return False
    found = layout(root, (IMAGES, MASKS))
    first = next((file for _, masks in found.values() for file in files(masks)), None)
    return (
        first is not None
        and first.suffix.lower() in SUFFIXES
        and any(first.parent == m for _, m in found.values())
    )


def label_reader(
    root: Path, masks: Sequence[Path], classes: str, values: tuple[int, ...]
) -> tuple[Labels, tuple[str, ...]]:
    """How the masks are read, and the names of their classes.

    Raises: DataError if neither settings nor masks say what the classes are. Warns of what is probably meant otherwise.
    """
    if values and (len(set(values)) < max(2, len(values)) or not 0 <= min(values) <= max(values) <= UNKNOWN):
        raise ValueError(
            "data.values: expected two or more different numbers from 0 to 255, those of the classes in the masks, "
            f"for example 0,255, got {','.join(map(str, values))}"
        )
    if classes:
        names = _read_names(find_beside(classes, root))
        if values and len(values) != len(names):
            raise DataError(
                f"data.values: expected a number for each of {len(names)} classes in {classes}, got {len(values)}; "
                "change one of them"
            )
    else:
        names = tuple(f"class{i}" for i in range(len(values))) or _count_classes(root, masks)
    if (classes or values) and UNKNOWN not in values:
        _check_white(root, masks)
    more = "add it to data.values" if values else f"name more classes in {classes or 'data.classes'}"
    unknown = "" if UNKNOWN in values else f", write {UNKNOWN} where nothing is known"
    hint = f"fix the mask (JPEG and other lossy formats blur ids: set them to the nearest again){unknown}, or {more}"
    return Labels(class_ids(values or range(len(names))), hint), names


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


def _check_white(root: Path, masks: Sequence[Path]) -> None:
    """Look at some masks and warn if they are black and white: white seldom means unknown."""
    some = spread(masks, _NUM_LOOKED_AT)
    if set().union(*(values_in(read_labels(mask, str(mask))) for mask in some)) == {0, UNKNOWN}:
        warnings.warn(f"{_white(root, f'{len(some)} masks')}", stacklevel=4)


def _white(root: Path, masks: str) -> str:
    return (
        f"{root}: {masks} hold 0 and {UNKNOWN} alone, and {UNKNOWN} means unknown; if it is a class, set "
        f"data.values=0,{UNKNOWN}"
    )


def _count_classes(root: Path, masks: Sequence[Path]) -> tuple[str, ...]:
    """Names for the ids that occur."""
    by_mask: list[list[int]] = found_in(root, masks, _values, "ids")
    found = sorted({value for values in by_mask for value in values})
    if found and found[-1] > UNKNOWN:
        mask = next(mask for mask, values in zip(masks, by_mask, strict=True) if found[-1] in values)
        raise DataError(
            f"{mask}: expected ids 0 to {UNKNOWN - 1}, or {UNKNOWN} where nothing is known, got {found[-1]}; write "
            "such ids into all masks"
        )
    if found == [0, UNKNOWN]:
        raise DataError(f"{_white(root, 'the masks')}; else write ids 0, 1, 2, … into them")
    ids = [i for i in found if i != UNKNOWN]
    if len(ids) < 2:
        raise DataError(
            f"{root}: expected masks with at least two ids below {UNKNOWN} ({UNKNOWN} is unknown), got "
            f"{ranges(found) or 'none'}; write ids 0, 1, 2, … into the masks"
        )
    missing = sorted(set(range(ids[-1])) - set(ids))
    if len(missing) > len(ids) > MAX_LISTED:
        raise DataError(
            f"{root}: expected ids 0, 1, 2, …, the masks hold {len(ids)} different values up to {ids[-1]}; were they "
            "saved in a lossy format such as JPEG? Set each pixel to the nearest id again, and save them as PNG"
        )
    if missing:
        few = f" and data.values={','.join(map(str, ids))}" if len(ids) <= MAX_LISTED else " and data.values"
        warnings.warn(
            f"{root}: the masks hold ids up to {ids[-1]}, but {len(missing)} below it never occur "
            f"({', '.join(map(str, missing[:MAX_LISTED]))}{', …' if len(missing) > MAX_LISTED else ''}); if that is "
            "wrong, fix the masks; a file data.classes with a line for each class says what there should be,"
            f"{few} which values of the masks are classes",
            stacklevel=4,
        )
    return tuple(f"class{i}" for i in range(ids[-1] + 1))


def _values(mask: Path) -> list[int]:
    return sorted(values_in(read_labels(mask, str(mask))))
