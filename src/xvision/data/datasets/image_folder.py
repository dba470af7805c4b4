"""A folder of images sorted into one folder per class."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from xvision.data.dataset import DataError, Dataset, Sample, Split
from xvision.data.datasets import dataset
from xvision.data.folders import (
    MAX_LISTED,
    SPLITS,
    check_ratio,
    entries,
    files,
    find_beside,
    folders,
    hold_out,
    own_folder,
    summary,
)
from xvision.data.images import SUFFIXES, read_image
from xvision.data.layouts import IMAGES, LABELS, layout
from xvision.data.sources import digest, file_hashes

GENERIC = True  # sets with a name may have this layout too: see `xvision.data.detect`

_LAYOUT = "ROOT/train/CLASS/*.jpg and ROOT/val/CLASS/*.jpg, or ROOT/CLASS/*.jpg"


@dataset
def image_folder(
    *,
    root: str = "",
    val_ratio: float = 0.2,
    split_seed: int = 0,
    classes: str = "",
    ignore: tuple[str, ...] = (),
) -> Dataset:
    """Images sorted into one folder per class, in train/ and val/ (and test/) or all in one place.

    Without a val/ folder, `val_ratio` of each class is held out, drawn by `split_seed`. Class ids follow the sorted
    folder names; the file `classes`, looked for here and then in `root` and above it, gives another order and names
    (see `read_classes`), and then a class may have no images or one. Files that match a pattern of `ignore` are left
    out; hidden files always are.

    Raises: DataError that lists everything that is not an image in a class folder.
    """
    check_ratio(val_ratio)
    place = own_folder(root, "images", _LAYOUT)
    found = _scan(place, ignore)
    listed = read_classes(find_beside(classes, place)) if classes else {}
    order = list(listed) or sorted({image.folder for image in found.get("train", found[next(iter(found))])})
    _check_classes(place, found, order, classes)
    if "train" in found and "val" not in found:
        found |= _hold_out(found["train"], val_ratio, split_seed, pool_singles=bool(classes))
        if not found["val"]:
            raise DataError(
                f"{place}: expected at least two images of a class to hold one out for validation"
            )
    ids = {folder: i for i, folder in enumerate(order)}
    splits = {}
    for name in SPLITS:
        if name in found:
            images = _Images(place, tuple(found[name]), ids)
            splits[name] = Split(tuple(image.name for image in found[name]), images.load, images.digest)
    return Dataset(
        "image_folder", ("image", "class"), {"class": tuple(listed.get(f, f) for f in order)}, splits
    )


def detect(root: Path) -> str | None:
    """'image_folder' if there are folders with images in them, one per class, not images and their labels."""
    if not root.is_dir() or layout(root, (IMAGES, LABELS)):
        return None
    for _, folder in _split_folders(root):
        for class_folder in folders(folder):
            if any(_is_image(file) for file in files(class_folder)):
                return "image_folder"
    return None


def read_classes(file: Path) -> dict[str, str]:
    """Folder names in the order of their ids, and what to call the classes.

    Either text, a line per class (the folder, then its name if it is another: "n01440764 tench"), or JSON as Keras
    and torchvision hand out ImageNet's: {"0": ["n01440764", "tench"], …}.

    Raises: DataError for anything else.
    """
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".json":
            rows = sorted(((int(i), *row) for i, row in json.loads(text).items()), key=lambda row: row[0])
            if [row[0] for row in rows] != list(range(len(rows))):
                raise ValueError("the ids are not 0, 1, 2, …")
            return {str(folder): str(name) for _, folder, name in rows}
        pairs = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
        return {pair[0]: pair[-1].strip() for pair in pairs}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise DataError(
            f'data.classes: expected a line "FOLDER NAME" per class, or JSON {{"0": ["FOLDER", "NAME"], …}}; '
            f"{file} cannot be read so ({error})"
        ) from error


@dataclass(frozen=True)
class _Image:
    name: str  # path inside the set, with slashes
    folder: str  # of its class


@dataclass(frozen=True)
class _Images:
    """The images of a split, read one at a time."""

    root: Path
    images: tuple[_Image, ...]
    ids: Mapping[str, int]

    def load(self, i: int) -> Sample:
        image = self.images[i]
        file = self.root / image.name
        return {"image": read_image(file, str(file)), "class": np.asarray(self.ids[image.folder], np.int64)}

    def digest(self) -> str:
        names = [image.name for image in self.images]
        return digest([list(self.ids), *zip(names, file_hashes(self.root, names), strict=True)])


def _scan(root: Path, ignore: Sequence[str]) -> dict[str, list[_Image]]:
    """The images of every split; everything that is wrong with the folders in one DataError."""
    found: dict[str, list[_Image]] = {}
    problems: list[str] = []
    odd: list[Path] = []
    for split, folder in _split_folders(root):
        if split in found:
            problems.append(f"{folder}: a second folder for '{split}'; keep one of them")
        images = found.setdefault(split, [])
        problems += [
            f"{file}: an image outside the class folders; move it into the folder of its class"
            for file in entries(folder)
            if file.is_file() and _is_image(file) and not _ignored(file, root, ignore)
        ]
        for class_folder in folders(folder):
            there = [file for file in files(class_folder) if not _ignored(file, root, ignore)]
            images += [
                _Image(f.relative_to(root).as_posix(), class_folder.name) for f in there if _is_image(f)
            ]
            odd += [file for file in there if not _is_image(file)]
            if not there:
                problems.append(f"{class_folder}: a class folder without images; fill it or remove it")
    problems += [
        f"{file}: not an image ({', '.join(SUFFIXES)}); remove it, or set data.ignore={_pattern(file)}"
        for file in odd
    ]
    empty = [split for split, images in found.items() if not images]
    if empty and not problems:
        place = root if len(empty) == len(found) else root / empty[0]
        problems.append(
            f"{place}: expected images, {_LAYOUT}; there are none; set data.root to where they are"
        )
    if problems:
        raise DataError(summary(root, problems))
    return found


def _pattern(file: Path) -> str:
    return f"*{file.suffix}" if file.suffix else file.name


def _check_classes(root: Path, found: Mapping[str, list[_Image]], order: list[str], classes: str) -> None:
    """Every label must be known; a class that a split lacks is worth a warning."""
    known = classes or "the training classes"
    for split, images in found.items():
        there = {image.folder for image in images}
        strange = sorted(there - set(order))
        if strange:
            raise DataError(
                f"{root}: '{split}' has class folders that {known} do not have: {', '.join(strange[:MAX_LISTED])}; "
                f"rename or remove them, or add them there"
            )
        missing = [folder for folder in order if folder not in there]
        if missing and not classes:
            warnings.warn(
                f"{root}: '{split}' has no images of {', '.join(missing[:MAX_LISTED])}; its results say nothing "
                "about these classes",
                stacklevel=3,
            )


def _hold_out(
    images: list[_Image], val_ratio: float, split_seed: int, *, pool_singles: bool
) -> dict[str, list[_Image]]:
    """Move `val_ratio` of every class, at least one image and never all, from training to validation.

    Only images of a class stay in training; with `pool_singles` they are shared out as if they were one class.
    """
    counts = Counter(image.folder for image in images)
    groups: dict[str, list[int]] = {}
    for i, image in enumerate(images):
        pooled = pool_singles and counts[image.folder] == 1
        groups.setdefault("" if pooled else image.folder, []).append(i)
    held = {
        members[k]
        for number, members in enumerate(groups.values())
        for k in hold_out(len(members), val_ratio, split_seed, number)
    }
    return {
        "train": [image for i, image in enumerate(images) if i not in held],
        "val": [image for i, image in enumerate(images) if i in held],
    }


def _split_folders(root: Path) -> list[tuple[str, Path]]:
    """(split, folder): folders called train, val, test that hold folders themselves, else the root as "train"."""
    parts = [
        (split, folder)
        for split, names in SPLITS.items()
        for folder in folders(root)
        if folder.name.lower() in names and any(True for _ in folders(folder))
    ]
    return parts or [("train", root)]


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES


def _ignored(file: Path, root: Path, ignore: Sequence[str]) -> bool:
    name = file.relative_to(root).as_posix()
    return any(fnmatch(name, pattern) or fnmatch(file.name, pattern) for pattern in ignore)
