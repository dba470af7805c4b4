"""Where the folders of images and labels lie: the usual names, below or above those of the splits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from xvision.data.dataset import DataError
from xvision.data.folders import SPLITS, files, folders, named
from xvision.data.images import read_image

IMAGES = ("images", "image", "imgs", "img", "rgb")


MASKS = ("masks", "mask", "labels", "label", "annotations", "annotation", "segmentation")


DEPTHS = ("depth", "depths", "depth_maps")


LABELS = (*MASKS, *DEPTHS)


def layout(root: Path, columns: Sequence[Sequence[str]]) -> dict[str, tuple[Path, ...]]:
    """Where the folders of every split lie, one for each column of names it may have; empty if they do not.

    ROOT/train/{images,masks}, ROOT/{images,masks}/train, or ROOT/{images,masks} as "train" alone.
    """
    found: dict[str, tuple[Path, ...]] = {}
    for split, names in SPLITS.items():
        for folder in folders(root) if root.is_dir() else ():
            if folder.name.lower() in names and (inside := _all_named(folder, columns)):
                found[split] = inside
    tops = _all_named(root, columns)
    if found or not tops:
        return found
    for split, names in SPLITS.items():
        below = [path for top in tops if (path := named(top, names))]
        if len(below) == len(tops):
            found[split] = tuple(below)
    return found or {"train": tops}


def aspect(found: Mapping[str, tuple[Path, ...]]) -> float:
    """Width over height of the first image of a layout, 0 if there is none: it tells sets that are laid out alike."""
    first = next((file for images, *_ in found.values() for file in files(images)), None)
    if first is None:
        return 0.0
    height, width = read_image(first, str(first)).shape[:2]
    return float(width / height)


def own_layout(
    root: Path, holds: str, form: str, **columns: tuple[str, Sequence[str]]
) -> dict[str, tuple[Path, ...]]:
    """The folders of every split of somebody's own data, as `layout` finds them.

    `columns` are settings with what they say, perhaps nothing, and the usual names; images come first.

    Raises: DataError where there are no such folders, and where training or validation images lack those of labels.
    """
    names = [(given,) if given else usual for given, usual in columns.values()]
    found = layout(root, names)
    if not found:
        raise DataError(
            f"{root}: expected {holds}, {form}; it holds no such folders; rename them, or set "
            f"{' and '.join(f'data.{setting}' for setting in columns)} to their names"
        )
    for split, (images,) in layout(root, names[:1]).items():
        if split not in found and split != "test":
            raise DataError(
                f"{images}: expected {holds} for '{split}', got images without folders of the others; add "
                f"{' and '.join(list(columns)[1:])}, or remove these images"
            )
    return found


def _all_named(folder: Path, columns: Sequence[Sequence[str]]) -> tuple[Path, ...]:
    found = [path for names in columns if (path := named(folder, names))]
    return tuple(found) if len(found) == len(columns) else ()
