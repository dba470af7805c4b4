"""NYU Depth v2, the labelled part: classes and depth of rooms."""

from __future__ import annotations

from pathlib import Path

from xvision.data.dataset import Dataset
from xvision.data.datasets import dataset
from xvision.data.detect import find_set
from xvision.data.layouts import layout
from xvision.data.readers import DepthMap, Labels, Photo, Reader, class_ids
from xvision.data.samples import Column, match_splits, photos, rows_dataset

CLASSES = {
    13: (
        "bed", "books", "ceiling", "chair", "floor", "furniture", "objects", "picture", "sofa", "table", "tv", "wall",
        "window",
    ),
    40: (
        "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf", "picture",
        "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat", "clothes",
        "ceiling", "books", "refridgerator", "television", "paper", "towel", "shower curtain", "box", "whiteboard",
        "person", "night stand", "toilet", "sink", "lamp", "bathtub", "bag", "otherstructure", "otherfurniture",
        "otherprop",
    ),
}  # fmt: skip
_MILLIMETRE = 0.001


@dataset
def nyuv2(*, root: str = "nyuv2", num_classes: int = 13) -> Dataset:
    """NYU Depth v2: 795 indoor images to train, with 13 or 40 classes and dense depth.

    `root` holds {train,val[,test]}/{rgb,depth,seg13,seg40}/: depth as 16-bit PNG in mm, ids from 0, 255 unknown.
    Source: Silberman et al., "Indoor segmentation and support inference from RGBD images" (2012); the 13 classes of
    Couprie et al., "Indoor semantic segmentation using depth information" (2013).
    """
    if num_classes not in CLASSES:
        raise ValueError(f"data.num_classes: expected 13 or 40, got {num_classes}")
    labels = f"seg{num_classes}"
    place, found = find_set(
        "nyuv2",
        root,
        lambda place: layout(place, (("rgb",), (labels,), ("depth",))),
        holds=f"NYUv2 as train/rgb/, train/{labels}/ and train/depth/",
        get="Lay the images out like this (docs/data_sets.md), or set data.root to where they are.",
    )
    splits = {
        split: (photos(rgb), Column("label", ids), Column("depth map", depth))
        for split, (rgb, ids, depth) in found.items()
    }
    classes = CLASSES[num_classes]
    readers: dict[str, Reader] = {
        "image": Photo(),
        "segmentation": Labels(class_ids(range(len(classes)))),
        "depth": DepthMap(_MILLIMETRE),
    }
    return rows_dataset("nyuv2", place, readers, match_splits(place, splits), {"segmentation": classes})


def detect(root: Path) -> str | None:
    """'nyuv2' if there are folders of images, depth and one of its two kinds of labels."""
    return "nyuv2" if root.is_dir() and layout(root, (("rgb",), ("seg13", "seg40"), ("depth",))) else None
