"""Folders of frames, one per sequence, and masks of what moves."""

from __future__ import annotations

from pathlib import Path

from xvision.data.dataset import Dataset
from xvision.data.datasets import dataset
from xvision.data.folders import check_ratio, files, own_folder
from xvision.data.frames import LISTS, check_gap, check_lists, check_motion, read_lists, samples, views
from xvision.data.layouts import IMAGES, MASKS, layout, own_layout
from xvision.data.readers import Labels
from xvision.data.samples import Column, photos, rows_dataset
from xvision.fields import UNKNOWN

GENERIC = True  # sets with a name may have this layout too: see `xvision.data.detect`

_LAYOUT = (
    "ROOT/train/images/SEQUENCE/*.jpg, ROOT/train/masks/SEQUENCE/*.png and the same in ROOT/val, or ROOT/images and "
    "ROOT/masks"
)


@dataset
def frame_pair_folder(
    *,
    root: str = "",
    frame_gap: int = 1,
    moving: int = 1,
    every_frame: bool = True,
    images: str = "",
    masks: str = "",
    val_ratio: float = 0.2,
    split_seed: int = 0,
) -> Dataset:
    """Your own sequences of frames, and PNG masks of what moves, in train/ and val/ or all in one place.

    A frame and its mask have the same name but for the ending; the previous frame is the one `frame_gap` before in
    the order of names (numbers by value) in the folder of the sequence. Or {train,val}_pairs.txt in `root` lists the
    samples, a line "PREVIOUS CURRENT MASK" each. Masks hold 0 where nothing moves, `moving` where something does, and
    255 (if that is not `moving`) where it is unknown. With every_frame=false, frames without a mask only serve as
    previous ones. `images` and `masks` name the folders if they are called unusually. Without val/, `val_ratio` of
    the sequences is held out, drawn by `split_seed`; of a single one its end.

    Raises: DataError that lists files without a partner.
    """
    check_ratio(val_ratio)
    check_gap(frame_gap)
    if not 1 <= moving <= 255:
        raise ValueError(
            f"data.moving: expected the value of moving pixels in the masks, 1 to 255, got {moving}"
        )
    place = own_folder(root, "frames and masks", _LAYOUT)
    rows = read_lists(place)
    if rows:
        check_lists(place, frame_gap)
    else:
        found = own_layout(place, "frames and masks", _LAYOUT, images=(images, IMAGES), masks=(masks, MASKS))
        columns = {split: (photos(a), Column("mask", b)) for split, (a, b) in found.items()}
        rows = samples(
            place, columns, frame_gap, every_frame=every_frame, val_ratio=val_ratio, split_seed=split_seed
        )
    meaning = ((0, 0), (moving, 1), *(((UNKNOWN, UNKNOWN),) if moving != UNKNOWN else ()))
    reader = Labels(meaning, "fix the mask, or set data.moving to the value of moving pixels")
    made = rows_dataset("frame_pair_folder", place, {**views(frame_gap), "motion": reader}, rows)
    check_motion(place, reader, rows)
    return made


def detect(root: Path) -> str | None:
    """'frame_pair_folder' if there are lists of pairs, or images and masks in folders of sequences."""
    if not root.is_dir():
        return None
    found = layout(root, (IMAGES, MASKS))
    first = next((file for _, masks in found.values() for file in files(masks)), None)
    nested = first is not None and not any(first.parent == masks for _, masks in found.values())
    return "frame_pair_folder" if nested or any((root / name).is_file() for name in LISTS.values()) else None
