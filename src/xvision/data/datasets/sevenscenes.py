"""7-Scenes: images and depth of a hand-held Kinect."""

from __future__ import annotations

import re
from pathlib import Path

from xvision.data.dataset import Dataset
from xvision.data.datasets import dataset
from xvision.data.detect import find_set
from xvision.data.folders import check_ratio, folders, hold_out_groups
from xvision.data.layouts import aspect, layout
from xvision.data.readers import DepthMap, Photo
from xvision.data.samples import Column, Row, match_splits, photos, rows_dataset

_MILLIMETRE = 0.001
_LISTS = {"train": "TrainSplit.txt", "val": "TestSplit.txt"}


@dataset
def sevenscenes(*, root: str = "sevenscenes", val_ratio: float = 0.2, split_seed: int = 0) -> Dataset:
    """7-Scenes: indoor images with the depth of a Kinect, which has holes.

    `root` holds {train,val[,test]}/rgb/ and .../depth/ (16-bit PNG, mm), or one scene or several as they are
    published (seq-01/frame-000000.color.png …), split by TrainSplit.txt and TestSplit.txt or else by `val_ratio` of the
    sequences. A depth of 0 or 65535 is unknown. Depth is not registered to the colour camera: edges are off by some
    pixels. Source: Shotton et al., "Scene coordinate regression forests" (2013).
    """
    check_ratio(val_ratio)
    place, found = find_set(
        "sevenscenes",
        root,
        _recognise,
        holds="7-Scenes as train/rgb/ (images less than twice as wide as high) and train/depth/, or "
        "SCENE/seq-01/frame-000000.color.png",
        get="Download scenes from https://www.microsoft.com/en-us/research/project/rgb-d-dataset-7-scenes/, or set "
        "data.root to where they are.",
    )
    rows: dict[str, list[Row]]
    if isinstance(found, dict):
        splits = {s: (photos(rgb), Column("depth map", depth)) for s, (rgb, depth) in found.items()}
        rows = match_splits(place, splits)
    else:
        rows = _published(place, found, val_ratio, split_seed)
    return rows_dataset("sevenscenes", place, {"image": Photo(), "depth": DepthMap(_MILLIMETRE)}, rows)


def detect(root: Path) -> str | None:
    """'sevenscenes' if there are sequences as they are published; rgb/ and depth/ alone could be anything."""
    return "sevenscenes" if root.is_dir() and _scenes(root) else None


def _recognise(root: Path) -> dict[str, tuple[Path, ...]] | list[Path]:
    found = layout(root, (("rgb",), ("depth",)))
    return found if 0 < aspect(found) < 2 else _scenes(root)


def _scenes(root: Path) -> list[Path]:
    """The folders that hold sequences: `root` itself or some inside."""
    return [folder for folder in (root, *folders(root)) if _sequences(folder)]


def _sequences(scene: Path) -> list[Path]:
    return [
        f for f in folders(scene) if re.fullmatch(r"seq-\d+", f.name) and any(f.glob("frame-*.color.png"))
    ]


def _published(root: Path, scenes: list[Path], val_ratio: float, split_seed: int) -> dict[str, list[Row]]:
    sequences = {f.relative_to(root).as_posix(): f for scene in scenes for f in _sequences(scene)}
    rows = match_splits(
        root,
        {
            name: (Column("image", folder, (".color.png",)), Column("depth map", folder, (".depth.png",)))
            for name, folder in sequences.items()
        },
    )
    listed = {
        split: {number for scene in scenes for number in _listed(scene, file)}
        for split, file in _LISTS.items()
    }
    if not all(listed.values()):
        return hold_out_groups(rows, val_ratio, split_seed)
    return {
        split: [row for name in rows if sequences[name] in wanted for row in rows[name]]
        for split, wanted in listed.items()
    }


def _listed(scene: Path, file: str) -> list[Path]:
    """The sequences in one of the lists of a scene, which calls seq-01 "sequence1"."""
    if not (scene / file).is_file():
        return []
    numbers = re.findall(r"\d+", (scene / file).read_text(encoding="utf-8"))
    return [scene / f"seq-{int(number):02}" for number in numbers]
