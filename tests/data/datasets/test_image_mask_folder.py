"""People's own images and masks, and what is wrong with them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.data.datasets.conftest import ids, photo, png
from xvision.data.datasets import dataset
from xvision.data.framing import Framing
from xvision.data.loader import Loader
from xvision.data.settings import Data


def build(root, **settings):
    return dataset.image_mask_folder(root=str(root), **settings).build()


@pytest.fixture
def root(miniature):
    return miniature("image_mask_folder")


@pytest.mark.parametrize(
    ("image", "mask", "splits"),
    [
        ("train/images", "train/masks", {"train": 4}),
        ("Training/img", "Training/Labels", {"train": 4}),
        ("images/train", "annotations/train", {"train": 4}),
        ("images/val", "masks/val", {"val": 5}),
        ("rgb", "label", {"train": 4}),
        ("images/deep/er", "masks/deep/er", {"train": 4}),
    ],
)
def test_layouts(tmp_path, image, mask, splits):
    for i in range(5):
        photo(tmp_path / image / f"{i}.jpg", i)
        png(tmp_path / mask / f"{i}.png", ids([0, 1]))
    made = build(tmp_path)
    assert {name: len(split) for name, split in made.splits.items()} == splits | (
        {"val": 1} if "train" in splits else {}
    )


def test_unusual_names_of_the_folders(root):
    (root / "images").rename(root / "Fotos")
    (root / "masks").rename(root / "truth")
    assert len(build(root, images="Fotos", masks="truth").splits["train"]) == 5
    with pytest.raises(
        ValueError,
        match=rf"^{root}: expected images and masks, ROOT/train.*; it holds no such folders; rename them, or set data.",
    ):
        build(root)


def test_the_split_is_drawn_by_its_seed(root):
    val = [build(root, val_ratio=0.5, split_seed=seed).splits["val"].names for seed in (0, 0, 1)]
    assert val[0] == val[1] != val[2]
    with pytest.raises(ValueError, match=r"^data.val_ratio: expected a fraction between 0 and 1, got 1.0$"):
        build(root, val_ratio=1.0)


def test_classes_are_named_in_a_file_or_counted(root):
    assert build(root).classes["segmentation"] == ("class0", "class1", "class2")
    (root / "names.txt").write_text("floor\nwall paper\n\nlamp\ntable\n")
    made = build(root, classes="names.txt")
    assert made.classes["segmentation"] == ("floor", "wall paper", "lamp", "table")
    assert np.unique(made.splits["val"].load(0)["segmentation"]).tolist() == [0, 1, 2, 255]


def test_masks_are_read_again_when_they_change(root):
    assert len(build(root).classes["segmentation"]) == 3
    png(root / "masks/1.png", ids([0, 3]))
    assert len(build(root).classes["segmentation"]) == 4


def test_blurred_ids_are_no_classes(root):
    png(root / "masks/1.png", ids([0, *range(3, 60, 4)]))
    with pytest.raises(
        ValueError, match=r"hold 1\d different values up to 59; were they saved in a lossy format such"
    ):
        build(root)


def test_ids_that_never_occur_are_worth_a_warning(root):
    png(root / "masks/1.png", ids([0, 7]))
    with pytest.warns(
        UserWarning,
        match=r"hold ids up to 7, but 4 below it never occur \(3, 4, 5, 6\); if that is wrong, fix",
    ):
        assert len(build(root).classes["segmentation"]) == 8


def test_masks_without_two_classes_are_refused(tmp_path):
    for name in "ab":
        photo(tmp_path / f"images/{name}.jpg")
        png(tmp_path / f"masks/{name}.png", ids([1, 255]))
    with pytest.raises(
        ValueError,
        match=r"expected masks with at least two ids below 255 \(255 is unknown\), got 1, 255; write ids 0, 1, 2",
    ):
        build(tmp_path)


def test_black_and_white_masks(root):
    for i in range(6):
        png(root / f"masks/{i}.png", ids([0, 255]))
    with pytest.raises(
        ValueError,
        match=rf"^{root}: the masks hold 0 and 255 alone, and 255 means unknown; if it is a class, set "
        r"data.values=0,255; else write ids 0, 1, 2, … into them$",
    ):
        build(root)
    (root / "names.txt").write_text("wall\nlamp\n")
    for settings in ({"classes": "names.txt"}, {"values": (0, 1)}):
        with pytest.warns(
            UserWarning, match=rf"^{root}: 6 masks hold 0 and 255 alone, .*, set data.values=0,255$"
        ):
            build(root, **settings)
    for settings in ({}, {"classes": "names.txt"}):
        made = build(root, values=(0, 255), **settings)
        assert len(made.classes["segmentation"]) == 2
        assert np.unique(made.splits["val"].load(0)["segmentation"]).tolist() == [0, 1]


def test_values_stand_for_classes_in_their_order(root):
    for i in range(6):
        png(root / f"masks/{i}.png", ids([128, 64, 255]))
    with pytest.warns(
        UserWarning, match=r"hold ids up to 128, .* and data.values=64,128 which values of the masks are"
    ):
        build(root)
    made = build(root, values=(128, 64))
    assert made.splits["val"].load(0)["segmentation"][0, [0, 15, 31]].tolist() == [0, 1, 255]
    with pytest.raises(
        ValueError,
        match=r"expected the values 0-1, 255, got 128 .*where nothing is known, or add it to data.values$",
    ):
        build(root, values=(0, 1)).splits["val"].load(0)


@pytest.mark.parametrize("values", [(0,), (0, 0), (0, 256), (-1, 0)])
def test_values_that_are_none_are_told(root, values):
    with pytest.raises(
        ValueError, match=rf"^data.values: expected two or more different numbers .*, got {values[0]}"
    ):
        build(root, values=values)


def test_values_and_names_are_as_many(root):
    (root / "names.txt").write_text("wall\nlamp\n")
    with pytest.raises(
        ValueError,
        match=r"^data.values: expected a number for each of 2 classes in names.txt, got 3; change one",
    ):
        build(root, classes="names.txt", values=(0, 1, 2))


def test_validation_images_without_masks_are_told(root):
    for kind in ("images", "masks"):
        (root / "train").mkdir(exist_ok=True)
        (root / kind).rename(root / "train" / kind)
    photo(root / "test/images/0.jpg")
    assert set(build(root).splits) == {"train", "val"}
    photo(root / "val/images/0.jpg")
    with pytest.raises(
        ValueError,
        match=rf"^{root}/val/images: expected images and masks for 'val', got images without folders of the others; "
        r"add masks, or remove these images$",
    ):
        build(root)


@pytest.mark.parametrize("content", ["one\n", "a\na\n", "".join(f"{i}\n" for i in range(256))])
def test_a_bad_file_of_classes_is_told(root, content):
    (root / "names.txt").write_text(content)
    with pytest.raises(
        ValueError, match=r"^data.classes: expected 2 to 255 different names, a line each; .*names.txt h"
    ):
        build(root, classes="names.txt")
    with pytest.raises(
        ValueError, match=r"^data.classes: expected a text file with a line for each class; .*gone.txt c"
    ):
        build(root, classes="gone.txt")


def test_palette_gray_and_gray_stored_as_colours_hold_ids(root):
    (root / "names.txt").write_text("a\nb\nc\n")
    palette = Image.fromarray(ids([0, 2, 255, 1]), "L").copy()
    palette = Image.frombytes("P", palette.size, palette.tobytes())
    palette.putpalette([(37 * i) % 256 for i in range(768)])
    palette.save(root / "masks/0.png")
    png(root / "masks/1.png", np.repeat(ids([0, 2, 255, 1])[..., None], 3, axis=2))
    png(root / "masks/2.png", ids([0, 2, 255, 1]).astype(np.uint16))
    small = Image.frombytes("P", (32, 24), ids([0, 2, 1, 1]).tobytes())
    small.putpalette([10, 20, 30, 200, 100, 0, 1, 2, 3])
    small.save(root / "masks/3.png", bits=2)
    made = build(root, classes="names.txt", val_ratio=0.1)
    found = {}
    for split in made.splits.values():
        found |= {name: split.load(i)["segmentation"] for i, name in enumerate(split.names)}
    for i in range(3):
        np.testing.assert_array_equal(found[f"images/{i}.jpg"], ids([0, 2, 255, 1]))
    np.testing.assert_array_equal(found["images/3.jpg"], ids([0, 2, 1, 1]))


def first_load(root):
    made = build(root, classes="names.txt")
    for split in made.splits.values():
        for i in range(len(split)):
            split.load(i)


@pytest.mark.parametrize(
    ("change", "story"),
    [
        (
            lambda file: png(file, ids([0, 1, 7, 255])),
            r"masks/4.png: expected the values 0-2, 255, got 7 \(in 192 pixels, the first in row 0, column 16\); fix "
            r"the mask \(JPEG .* nearest again\), write 255 where nothing is known, or name more classes in names.txt$",
        ),
        (lambda file: png(file, ids([0, 1]).astype(np.uint16) * 300), "masks/4.png: .* got 300 "),
        (
            lambda file: photo(file),
            "masks/4.png: expected one channel of class ids .*, got colours; save ids",
        ),
        (
            lambda file: png(file, ids([0, 1], (12, 16))),
            r"images/4.jpg is 24x32 and .*masks/4.png is 12x16: expected files of one size \(HxW\); fix or remove",
        ),
        (
            lambda file: file.write_bytes(file.read_bytes()[:-20]),
            r"masks/4.png: the PNG is truncated \(no end marker after \d+ bytes\); replace",
        ),
        (
            lambda file: file.write_bytes(b""),
            "masks/4.png: expected a label PNG, got an empty file; replace",
        ),
        (
            lambda file: file.write_bytes(b"hello"),
            "masks/4.png: expected a label PNG, got a file that is no PNG; r",
        ),
    ],
)
def test_a_wrong_mask_is_named(root, change, story):
    (root / "names.txt").write_text("a\nb\nc\n")
    change(root / "masks/4.png")
    with pytest.raises(ValueError, match=story):
        first_load(root)


def test_all_wrong_masks_are_named_before_training(root):
    (root / "names.txt").write_text("a\nb\nc\n")
    for i in range(6):
        png(root / f"masks/{i}.png", ids([0, 9]))
    data = Data(dataset="image_mask_folder", size=(24, 32))
    split = build(root, classes="names.txt").splits["train"]
    with pytest.raises(
        ValueError, match=r"^5 of 5 samples cannot be used:\n  .*got 9 .*\n    also (.*png(, )?){4}$"
    ):
        Loader(
            split, ("image", "segmentation"), data, batch_size=2, train=True, seed=0, framing=Framing("crop")
        )


def test_what_has_no_partner_is_listed(root):
    (root / "masks/0.png").unlink()
    (root / "images/3.jpg").unlink()
    photo(root / "images/1.png")
    with pytest.raises(ValueError, match=rf"^{root}: 3 problems:\n") as raised:
        build(root)
    text = str(raised.value)
    assert f"{root}/images/0.jpg: no mask belongs to it; expected {root}/masks/0.png" in text
    assert f"{root}/masks/3.png: no image belongs to it; expected {root}/images/3.jpg or .jpeg" in text
    assert f"{root}/images/1.png: 1.jpg has the same name but for its ending; keep one of them" in text


def test_one_pair_cannot_be_split(tmp_path):
    photo(tmp_path / "images/a.jpg")
    png(tmp_path / "masks/a.png", ids([0, 1]))
    with pytest.raises(
        ValueError, match=rf"^{tmp_path}: expected samples for 'val', got none; add files to it$"
    ):
        build(tmp_path)


def test_no_root_is_told():
    with pytest.raises(
        ValueError, match=r"^data.root: expected the folder of images and masks \(ROOT/train/images"
    ):
        dataset.image_mask_folder().build()


def test_the_digest_changes_with_masks_and_classes(root):
    (root / "names.txt").write_text("a\nb\nc\n")
    digests = [build(root, classes="names.txt").splits["train"].digest()]
    (root / "names.txt").write_text("a\nb\nc\nd\n")
    digests.append(build(root, classes="names.txt").splits["train"].digest())
    for i in range(6):
        assert cv2.imwrite(str(root / f"masks/{i}.png"), ids([0, 1]))
    digests.append(build(root, classes="names.txt").splits["train"].digest())
    assert len(set(digests)) == 3


def test_a_mask_with_numbers_that_are_no_ids_is_named(root):
    png(root / "masks/3.png", ids([0, 1]).astype(np.uint16) + 65534)
    with pytest.raises(
        ValueError,
        match=rf"^{root}/masks/3.png: expected ids 0 to 254, or 255 where nothing is known, got 65535; write such ids",
    ):
        build(root)


def test_all_masks_in_colours_are_listed(root):
    for i in (1, 4):
        photo(root / f"masks/{i}.png")
    with pytest.raises(
        ValueError, match=rf"^{root}: 2 problems:\n  .*1.png: expected one channel .*\n    also .*4.png$"
    ):
        build(root)


def test_masks_that_are_no_png_are_told_from_missing_ones(root):
    (root / "masks/2.png").unlink()
    photo(root / "masks/2.jpg")
    (root / "masks/3.png").unlink()
    with pytest.raises(ValueError, match="2 problems") as told:
        build(root)
    first, second = str(told.value).splitlines()[1:]
    assert first.endswith(f"no mask belongs to it; expected {root}/masks/2.png, got 2.jpg: save it as .png")
    assert second.endswith(f"no mask belongs to it; expected {root}/masks/3.png")
