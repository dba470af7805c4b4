"""A folder of images and a folder of their depth maps."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from xvision.data.dataset import Dataset
from xvision.data.datasets import dataset
from xvision.data.folders import check_ratio, own_folder, summary
from xvision.data.frames import check_gap, samples, views
from xvision.data.layouts import DEPTHS, IMAGES, MASKS, layout, own_layout
from xvision.data.readers import DepthMap, found_in
from xvision.data.samples import Column, photos, rows_dataset

GENERIC = True  # sets with a name may have this layout too: see `xvision.data.detect`

_LAYOUT = (
    "ROOT/train/images/*.jpg, ROOT/train/depth/*.png and the same in ROOT/val, or ROOT/images and ROOT/depth"
)
_USUAL_M = (0.1, 200.0)
_ODD = 50.0
"""A file whose median depth is so many times more or less than is typical: units differ by 100 or 1000, scenes less."""


@dataset
def image_depth_folder(
    *,
    root: str = "",
    unit: float | None = None,
    images: str = "",
    depth: str = "",
    frame_gap: int = 0,
    every_frame: bool = True,
    val_ratio: float = 0.2,
    split_seed: int = 0,
) -> Dataset:
    """Your own images and depth maps (16-bit PNG or .npy), in train/ and val/ or all in one place.

    An image and its depth have the same name but for the ending. `images` and `depth` name their folders if they are
    called unusually. `unit` is metres per step: 0.001 for millimetres, 0.00390625 (1/256) for KITTI's PNGs, 1 for
    metres; by default integers count millimetres and floats metres. Unknown are 0, 65535 in 16 bits, negative numbers,
    nan and inf. Without val/, `val_ratio` is held out, drawn by `split_seed`.

    With a `frame_gap` the images are frames, in a folder for each sequence or one in all: `previous`, for networks
    that take it or optical flow, is the frame `frame_gap` before in the order of names (numbers by value), and whole
    sequences are held out. With every_frame=false, frames without depth only serve as previous ones.

    All depth maps are read once. Raises: DataError that lists files without a partner. Warns of a typical depth outside
    0.1-200 m, and of files with quite another one.
    """
    check_ratio(val_ratio)
    check_gap(frame_gap, 0, every_frame=every_frame)
    place = own_folder(root, "images and depth maps", _LAYOUT)
    found = own_layout(
        place, "images and depth maps", _LAYOUT, images=(images, IMAGES), depth=(depth, DEPTHS)
    )
    splits = {s: (photos(a), depth_maps(b)) for s, (a, b) in found.items()}
    rows = samples(
        place, splits, frame_gap, every_frame=every_frame, val_ratio=val_ratio, split_seed=split_seed
    )
    reader = depth_reader(place, [row[-1] for some in rows.values() for row in some], unit)
    return rows_dataset("image_depth_folder", place, {**views(frame_gap), "depth": reader}, rows)


def detect(root: Path) -> str | None:
    """'image_depth_folder' if there are images and depth and no masks; rgb/ and depth/ could be a set with a name."""
    if not root.is_dir() or layout(root, (IMAGES, MASKS)):
        return None
    own_names = tuple(name for name in IMAGES if name != "rgb")
    return "image_depth_folder" if layout(root, (own_names, DEPTHS)) else None


def depth_maps(folder: Path) -> Column:
    return Column("depth map", folder, (".png", ".npy"))


def depth_reader(root: Path, depths: Sequence[Path], unit: float | None) -> DepthMap:
    """How the depth maps are read.

    Raises: DataError that lists what is no depth map. Warns of implausible distances, and of single files
    whose depths are unlike all others.
    """
    if unit is not None and unit <= 0:
        raise ValueError(f"data.unit: expected metres per step, for example 0.001, got {unit}")
    read = DepthMap(unit)
    by_file: list[list[float]] = found_in(root, depths, partial(_range_m, read), repr(read))
    known = np.array([found for found in by_file if found])
    if not len(known):
        warnings.warn(
            f"{root}: no depth is known in {len(depths)} depth maps, {depths[0]} among them: they hold nothing but 0, "
            "negative, not finite or (in 16 bits) the largest numbers; save steps of depth, and set data.unit to "
            "metres per step",
            stacklevel=3,
        )
        return read
    least, typical, most = known[:, 0].min(), float(np.median(known[:, 1])), known[:, 2].max()
    if not _USUAL_M[0] <= typical <= _USUAL_M[1]:
        warnings.warn(
            f"{root}: depths lie between {least:.4g} and {most:.4g} m, half of them below {typical:.4g} m in a typical "
            f"file of {len(depths)}; that is probably the wrong unit; set data.unit to metres per step: 0.001 for "
            "millimetres, 0.00390625 (1/256) for KITTI's PNGs, 1 for metres",
            stacklevel=3,
        )
    strange = [
        f"{file}: its median depth is {found[1]:.4g} m, that of a typical file {typical:.4g} m; that is probably "
        "another unit; write all files in one unit"
        if found
        else f"{file}: no depth is known in it; save it again, or remove it and its image"
        for file, found in zip(depths, by_file, strict=True)
        if not found or not typical / _ODD <= found[1] <= typical * _ODD
    ]
    if strange:
        warnings.warn(summary(root, strange), stacklevel=3)
    return read


def _range_m(read: DepthMap, file: Path) -> list[float]:
    """The least, the median and the largest of the known depths in a file; nothing if none is known."""
    values = read(file)
    known = values[values > 0]
    return [float(known.min()), float(np.median(known)), float(known.max())] if len(known) else []
