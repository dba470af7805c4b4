"""A folder of images and a folder of their depth maps."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from xvision.data.dataset import DataError, Dataset
from xvision.data.datasets import dataset
from xvision.data.folders import check_ratio, own_folder, with_val
from xvision.data.pairs import (
    DEPTHS,
    IMAGES,
    Column,
    Depth,
    Photo,
    Row,
    layout,
    match_splits,
    photos,
    rows_dataset,
    spread,
)

_LAYOUT = (
    "ROOT/train/images/*.jpg, ROOT/train/depth/*.png and the same in ROOT/val, or ROOT/images and ROOT/depth"
)
_USUAL_M = (0.1, 200.0)
_NUM_LOOKED_AT = 8


@dataset
def image_depth_folder(
    *,
    root: str = "",
    unit: float | None = None,
    images: str = "",
    depth: str = "",
    val_ratio: float = 0.2,
    split_seed: int = 0,
) -> Dataset:
    """Your own images and depth maps (16-bit PNG or .npy), in train/ and val/ or all in one place.

    An image and its depth have the same name but for the ending. `images` and `depth` name their folders if they are
    called unusually. `unit` is metres per step: 0.001 for millimetres, 0.00390625 (1/256) for KITTI's PNGs, 1 for
    metres; by default integers count millimetres and floats metres. Unknown are 0, 65535 in 16 bits, negative numbers,
    nan and inf. Without val/, `val_ratio` is held out, drawn by `split_seed`.

    Raises: DataError that lists files without a partner. Warns of a median depth outside 0.1-200 m.
    """
    check_ratio(val_ratio)
    if unit is not None and unit <= 0:
        raise ValueError(f"data.unit: expected metres per step, for example 0.001, came {unit}")
    place = own_folder(root, "images and depth maps", _LAYOUT)
    found = layout(place, ((images,) if images else IMAGES, (depth,) if depth else DEPTHS))
    if not found:
        raise DataError(
            f"{place}: expected images and depth maps, {_LAYOUT}; it holds no such folders; rename them, or set "
            "data.images and data.depth to their names"
        )
    splits = {s: (photos(a), Column("depth map", b, (".png", ".npy"))) for s, (a, b) in found.items()}
    rows = with_val(match_splits(place, splits), val_ratio, split_seed)
    reader = Depth(unit)
    made = rows_dataset("image_depth_folder", place, {"image": Photo(), "depth": reader}, rows)
    _check_unit(place, reader, rows)
    return made


def _check_unit(root: Path, read: Depth, rows: Mapping[str, Sequence[Row]]) -> None:
    """Look at some depth maps and warn if nobody measures such distances."""
    some = spread([depth for found in rows.values() for _, depth in found], _NUM_LOOKED_AT)
    known = [values[values > 0] for values in map(read, some)]
    values = np.concatenate(known)
    if not len(values):
        warnings.warn(
            f"{root}: no depth is known in {len(some)} depth maps, {some[0]} among them: they hold nothing but 0, "
            "negative, not finite or (in 16 bits) the largest numbers; save steps of depth, and set data.unit to "
            "metres per step",
            stacklevel=3,
        )
    elif not _USUAL_M[0] <= np.median(values) <= _USUAL_M[1]:
        warnings.warn(
            f"{root}: depths lie between {values.min():.4g} and {values.max():.4g} m, half of them below "
            f"{np.median(values):.4g} m (in {len(some)} files); that is probably the wrong unit; set data.unit to "
            "metres per step: 0.001 for millimetres, 0.00390625 (1/256) for KITTI's PNGs, 1 for metres",
            stacklevel=3,
        )
