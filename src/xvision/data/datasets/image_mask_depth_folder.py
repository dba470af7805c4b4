"""A folder of images, a folder of label images and a folder of depth maps: both labels of every image."""

from __future__ import annotations

from pathlib import Path

from xvision.data.dataset import Dataset
from xvision.data.datasets import dataset
from xvision.data.datasets.image_depth_folder import depth_maps, depth_reader
from xvision.data.datasets.image_mask_folder import has_masks, label_reader
from xvision.data.folders import check_ratio, own_folder
from xvision.data.frames import check_gap, samples, views
from xvision.data.layouts import DEPTHS, IMAGES, MASKS, layout, own_layout
from xvision.data.readers import Reader
from xvision.data.samples import Column, photos, rows_dataset

GENERIC = True  # sets with a name may have this layout too: see `xvision.data.detect`

_LAYOUT = (
    "ROOT/train/images/*.jpg, ROOT/train/masks/*.png, ROOT/train/depth/*.png and the same in ROOT/val, or ROOT/images, "
    "ROOT/masks and ROOT/depth"
)


@dataset
def image_mask_depth_folder(
    *,
    root: str = "",
    classes: str = "",
    values: tuple[int, ...] = (),
    unit: float | None = None,
    images: str = "",
    masks: str = "",
    depth: str = "",
    frame_gap: int = 0,
    every_frame: bool = True,
    val_ratio: float = 0.2,
    split_seed: int = 0,
) -> Dataset:
    """Your own images with label PNGs and depth maps of each, for both tasks in one network.

    Masks and their settings are as in `image_mask_folder`, depth maps as in `image_depth_folder`; all three have the
    same name but for the ending. Where only some images have both, join those two sets instead. With `frame_gap` and
    `every_frame` images are frames, as there.

    Raises: DataError that lists files without a partner.
    """
    check_ratio(val_ratio)
    check_gap(frame_gap, 0, every_frame=every_frame)
    place = own_folder(root, "images, masks and depth maps", _LAYOUT)
    found = own_layout(
        place,
        "images, masks and depth maps",
        _LAYOUT,
        images=(images, IMAGES),
        masks=(masks, MASKS),
        depth=(depth, DEPTHS),
    )
    splits = {s: (photos(a), Column("mask", b), depth_maps(c)) for s, (a, b, c) in found.items()}
    rows = samples(
        place, splits, frame_gap, every_frame=every_frame, val_ratio=val_ratio, split_seed=split_seed
    )
    files = [row for some in rows.values() for row in some]
    labels, names = label_reader(place, [row[-2] for row in files], classes, values)
    depths = depth_reader(place, [row[-1] for row in files], unit)
    readers: dict[str, Reader] = {**views(frame_gap), "segmentation": labels, "depth": depths}
    return rows_dataset("image_mask_depth_folder", place, readers, rows, {"segmentation": names})


def detect(root: Path) -> str | None:
    """'image_mask_depth_folder' if there are images and masks as in `image_mask_folder`, and depth."""
    found = has_masks(root) and layout(root, (IMAGES, MASKS, DEPTHS))
    return "image_mask_depth_folder" if found else None
