"""DAVIS 2016: the moving object of short films."""

from __future__ import annotations

from pathlib import Path

from xvision.data.dataset import Dataset
from xvision.data.datasets import dataset
from xvision.data.detect import find_set
from xvision.data.folders import folders
from xvision.data.frames import check_gap, check_lists, check_motion, read_lists, sequences
from xvision.data.readers import Labels, Photo, Reader
from xvision.data.samples import Column, Row, photos, rows_dataset

TRAIN = (
    "bear", "bmx-bumps", "boat", "breakdance-flare", "bus", "car-turn", "dance-jump", "dog-agility", "drift-turn",
    "elephant", "flamingo", "hike", "hockey", "horsejump-low", "kite-walk", "lucia", "mallard-fly", "mallard-water",
    "motocross-bumps", "motorbike", "paragliding", "rhino", "rollerblade", "scooter-gray", "soccerball", "stroller",
    "surf", "swing", "tennis", "train",
)  # fmt: skip
VAL = (
    "blackswan", "bmx-trees", "breakdance", "camel", "car-roundabout", "car-shadow", "cows", "dance-twirl", "dog",
    "drift-chicane", "drift-straight", "goat", "horsejump-high", "kite-surf", "libby", "motocross-jump",
    "paragliding-launch", "parkour", "scooter-black", "soapbox",
)  # fmt: skip
_OBJECT = (
    (0, 0),
    *((value, 1) for value in range(1, 256)),
)  # 255 in 2016, ids of objects in 2017, 1 in lists


@dataset
def davis16(*, root: str = "davis16", frame_gap: int = 1) -> Dataset:
    """DAVIS 2016: two frames and a mask of the moving foreground object; the camera moves too.

    `root` holds JPEGImages/480p/ and Annotations/480p/ as published (the official 30 sequences train, 20 validate;
    the previous frame is `frame_gap` before), or {train,val}_pairs.txt with lines "PREVIOUS CURRENT MASK". Only the
    primary object is marked: others that move are background. Source: Perazzi et al., "A benchmark dataset and
    evaluation methodology for video object segmentation" (2016).
    """
    check_gap(frame_gap)
    place, found = find_set(
        "davis16",
        root,
        _recognise,
        holds="DAVIS as JPEGImages/480p/ and Annotations/480p/, or train_pairs.txt of its sequences",
        get="Download DAVIS 2016 from https://davischallenge.org, or set data.root to where it is.",
    )
    if isinstance(found, tuple):
        by_name = sequences(place, {"": found}, frame_gap)[""]
        rows = {
            split: [row for name in names for row in by_name.get(name, ())]
            for split, names in {"train": TRAIN, "val": VAL}.items()
        }
    else:
        check_lists(place, frame_gap)
        rows = found
    masks = Labels(_OBJECT)
    readers: dict[str, Reader] = {"image": Photo(), "previous": Photo(), "motion": masks}
    made = rows_dataset("davis16", place, readers, rows)
    check_motion(place, masks, rows)
    return made


def detect(root: Path) -> str | None:
    """'davis16' if sequences lie there that are called like its own."""
    if not root.is_dir():
        return None
    places = (root / "JPEGImages/480p", root / "train/images", root / "val/images")
    names = {folder.name for place in places if place.is_dir() for folder in folders(place)}
    return "davis16" if names and names <= {*TRAIN, *VAL} else None


def _recognise(root: Path) -> tuple[Column, Column] | dict[str, list[Row]]:
    """Lists of pairs count if their sequences are called like its own: anybody may have such lists."""
    if published := _published(root):
        return published
    lists = read_lists(root)
    names = {image.parent.name for rows in lists.values() for image, _, _ in rows}
    return lists if names <= {*TRAIN, *VAL} else {}


def _published(root: Path) -> tuple[Column, Column] | None:
    images, masks = root / "JPEGImages/480p", root / "Annotations/480p"
    return (photos(images), Column("mask", masks)) if images.is_dir() and masks.is_dir() else None
