"""Folders of images: layouts, classes, and everything people leave in them."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from xvision.data.datasets import dataset
from xvision.data.framing import Framing
from xvision.data.loader import Loader
from xvision.data.settings import Data


def paint(root: Path, *names: str) -> Path:
    """Images of a colour of their own each."""
    for n, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(root / name), np.full((6, 8, 3), 7 * n + 1, np.uint8))
    return root


def build(root: Path, **settings):
    return dataset.image_folder(root=str(root), **settings).build()


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    names = [
        f"{split}/{pet}/{i}.png" for split in ("train", "val") for pet in ("dog", "cat") for i in range(3)
    ]
    return paint(tmp_path / "pets", *names)


def test_names_classes_and_labels(pets):
    made = build(pets)
    assert made.fields == ("image", "class")
    assert made.classes == {"class": ("cat", "dog")}
    train = made.splits["train"]
    assert train.names == tuple(f"train/{pet}/{i}.png" for pet in ("cat", "dog") for i in range(3))
    assert [int(train.load(i)["class"]) for i in range(6)] == [0, 0, 0, 1, 1, 1]
    assert train.load(4)["image"].shape == (6, 8, 3)
    assert train.load(4)["image"].max() == 7 * 1 + 1


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "val"), ("train", "val")),
        (("train", "validation", "test"), ("train", "val", "test")),
        (("Training", "Valid"), ("train", "val")),
        (("train", "test"), ("train", "val", "test")),
        (("train",), ("train", "val")),
        (("val",), ("val",)),
    ],
)
def test_splits_are_found_by_their_usual_names(tmp_path, folders, splits):
    paint(tmp_path, *(f"{folder}/{pet}/{i}.jpg" for folder in folders for pet in "ab" for i in range(4)))
    assert tuple(build(tmp_path).splits) == splits


def test_one_folder_is_split_by_class_and_seed(tmp_path):
    paint(
        tmp_path,
        *(f"{pet}/{i:02}.png" for pet, n in (("cat", 10), ("dog", 20), ("newt", 1)) for i in range(n)),
    )
    made = build(tmp_path, val_ratio=0.3)
    train, val = made.splits["train"].names, made.splits["val"].names
    assert sorted(train + val) == sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.png")
    )
    assert [sum(name.startswith(pet) for name in val) for pet in ("cat", "dog", "newt")] == [3, 6, 0]
    assert build(tmp_path, val_ratio=0.3).splits["val"].names == val
    assert build(tmp_path, val_ratio=0.3, split_seed=1).splits["val"].names != val


def test_single_images_of_known_classes_are_shared_out(tmp_path):
    """As of ImageNet's thousand classes, of which a sample set has one image each."""
    paint(tmp_path / "val", *(f"{i:03}/0.png" for i in range(10)), *(f"010/{i}.png" for i in range(4)))
    (tmp_path / "classes.txt").write_text("".join(f"{i:03} name {i}\n" for i in range(20)))
    made = build(tmp_path / "val", val_ratio=0.5, classes="classes.txt")
    train, val = (made.splits[name].names for name in ("train", "val"))
    assert (len(train), len(val)) == (7, 7)
    assert sum(name.startswith("010/") for name in val) == 2
    assert made.classes["class"][19] == "name 19"


def test_a_class_may_be_called_train(tmp_path):
    paint(tmp_path, *(f"{kind}/{i}.png" for kind in ("bus", "train", "car") for i in range(4)))
    assert build(tmp_path).classes["class"] == ("bus", "car", "train")


def test_images_may_lie_deeper_and_behind_links(pets, tmp_path):
    paint(tmp_path / "elsewhere", "x.png")
    paint(pets, "train/dog/more/puppies/9.png")
    (pets / "train/dog/linked").symlink_to(tmp_path / "elsewhere")
    (pets / "train/dog/loop").symlink_to(pets / "train/dog")
    names = build(pets).splits["train"].names
    assert "train/dog/more/puppies/9.png" in names
    assert "train/dog/linked/x.png" in names
    assert len(names) == 8


def test_what_systems_leave_behind_is_ignored(pets):
    for name in (
        ".DS_Store",
        "train/.DS_Store",
        "train/cat/.DS_Store",
        "train/cat/._0.png",
        "train/dog/Thumbs.db",
    ):
        (pets / name).touch()
    for name in ("README.md", "train/labels.csv", "train/dog/desktop.ini"):
        (pets / name).touch()
    paint(pets, "__MACOSX/train/x/0.png", "train/.hidden/0.png", "train/cat/.thumbnails/0.png")
    made = build(pets)
    assert made.classes["class"] == ("cat", "dog")
    assert len(made.splits["train"]) == 6


def test_an_odd_file_is_named_with_the_way_out(pets):
    (pets / "train/cat/notes.txt").touch()
    file = re.escape(str(pets / "train/cat/notes.txt"))
    with pytest.raises(
        ValueError, match=rf"^{file}: not an image \(.jpg, .*\); remove it, or set data.ignore=\*.txt$"
    ):
        build(pets)
    for pattern in ("notes.txt", "*.txt", "train/cat/*.txt"):
        assert len(build(pets, ignore=(pattern,)).splits["train"]) == 6


def test_all_problems_come_at_once(pets):
    paint(pets, "train/stray.png", "valid/cat/0.png")
    (pets / "train/newt").mkdir()
    for i in range(9):
        (pets / f"val/dog/0.t{i}").touch()
    with pytest.raises(ValueError, match=rf"^{pets}: 12 problems:\n(  .*\n){{10}}  … and 2 more$") as raised:
        build(pets)
    text = str(raised.value)
    assert (
        f"{pets}/train/stray.png: an image outside the class folders; move it into the folder of its class"
        in text
    )
    assert f"{pets}/train/newt: a class folder without images; fill it or remove it" in text
    assert f"{pets}/valid: a second folder for 'val'; keep one of them" in text


def test_a_folder_without_images_is_told(tmp_path):
    match = rf"^{tmp_path}: expected images, ROOT/train/CLASS/\*.jpg and .*; there are none; set data.root to"
    with pytest.raises(ValueError, match=match):
        build(tmp_path)
    (tmp_path / "letters.txt").touch()
    with pytest.raises(ValueError, match=match):
        build(tmp_path)
    paint(tmp_path, "1.png")
    with pytest.raises(ValueError, match=rf"^{tmp_path}/1.png: an image outside the class folders"):
        build(tmp_path)


def test_a_missing_root_and_a_file_as_root_are_told(tmp_path):
    with pytest.raises(
        ValueError, match=r"^data.root: expected the folder of images \(ROOT/.*\); set data.root=DIR$"
    ):
        dataset.image_folder().build()
    with pytest.raises(
        ValueError, match=rf"^data.root: expected images, ROOT/.*; looked for {tmp_path}/no, nothing is th"
    ):
        build(tmp_path / "no")
    paint(tmp_path, "1.png")
    with pytest.raises(
        ValueError, match=rf"^data.root: expected a folder of images, .*; {tmp_path}/1.png is a file$"
    ):
        build(tmp_path / "1.png")


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.1])
def test_a_ratio_that_leaves_nothing_is_refused(pets, ratio):
    with pytest.raises(
        ValueError, match=rf"data.val_ratio: expected a fraction between 0 and 1, got {ratio}"
    ):
        build(pets, val_ratio=ratio)


def test_one_image_a_class_cannot_be_split(tmp_path):
    with pytest.raises(
        ValueError, match="expected at least two images of a class to hold one out for validation"
    ):
        build(paint(tmp_path, "a/0.png", "b/0.png"))


def test_classes_that_differ_between_splits_are_named(pets):
    paint(pets, "train/newt/0.png", "train/owl/0.png")
    with pytest.warns(
        UserWarning, match=r"'val' has no images of newt, owl; its results say nothing about these"
    ):
        assert build(pets).classes["class"] == ("cat", "dog", "newt", "owl")
    paint(pets, "val/yak/0.png")
    with pytest.raises(
        ValueError,
        match=r"'val' has class folders that the training classes do not have: yak; rename or remove them",
    ):
        build(pets)


def test_a_list_of_classes_gives_order_and_names(pets, tmp_path):
    (tmp_path / "names.txt").write_text("newt\ndog  canis lupus\n\ncat felis catus\n")
    made = build(pets, classes=str(tmp_path / "names.txt"))
    assert made.classes["class"] == ("newt", "canis lupus", "felis catus")
    assert [int(made.splits["val"].load(i)["class"]) for i in (0, 5)] == [2, 1]
    (tmp_path / "names.json").write_text('{"1": ["dog", "a dog"], "0": ["cat", "a cat"]}')
    assert build(pets, classes=str(tmp_path / "names.json")).classes["class"] == ("a cat", "a dog")


def test_a_list_of_classes_that_does_not_fit_is_named(pets, tmp_path):
    (tmp_path / "names.txt").write_text("cat\n")
    with pytest.raises(
        ValueError, match=r"'train' has class folders that .*names.txt do not have: dog; rename or remove"
    ):
        build(pets, classes=str(tmp_path / "names.txt"))
    for name, content in (
        ("a.json", '{"0": "cat"}'),
        ("b.json", '{"1": ["cat", "x"]}'),
        ("c.json", "["),
        ("gone", ""),
    ):
        if content:
            (tmp_path / name).write_text(content)
        with pytest.raises(
            ValueError, match=rf'data.classes: expected a line "FOLDER NAME" per class, or .*{name} can'
        ):
            build(pets, classes=str(tmp_path / name))


def test_the_digest_changes_with_every_image_and_with_the_classes(pets):
    first = {name: split.digest() for name, split in build(pets).splits.items()}
    assert {name: split.digest() for name, split in build(pets).splits.items()} == first
    (pets / "train/dog/1.png").write_bytes((pets / "train/dog/2.png").read_bytes())
    second = {name: split.digest() for name, split in build(pets).splits.items()}
    assert second["train"] != first["train"]
    assert second["val"] == first["val"]
    paint(pets, "train/aardvark/0.png", "val/aardvark/0.png")
    (pets / "val/aardvark/0.png").unlink()
    (pets / "val/aardvark").rmdir()
    with pytest.warns(UserWarning, match="aardvark"):
        third = build(pets).splits["val"].digest()
    assert third != first["val"], "the ids of its labels moved"


def loader(root: Path, **settings) -> Loader:
    data = Data(dataset=dataset.image_folder(root=str(root)), size=(6, 8), **settings)
    return Loader(
        build(root).splits["train"],
        ("image", "class"),
        data,
        batch_size=6,
        train=False,
        seed=0,
        framing=Framing("crop"),
    )


def test_an_edited_image_is_decoded_anew(pets):
    before = next(loader(pets).epoch(0))
    assert cv2.imwrite(str(pets / "train/cat/1.png"), np.full((6, 8, 3), 222, np.uint8))
    after = next(loader(pets).epoch(0))
    assert (after["image"][1] == 222).all()
    assert (after["image"][0] == before["image"][0]).all()


def test_damaged_images_are_named_all_at_once(pets):
    whole = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))[
        1
    ].tobytes()
    (pets / "train/cat/9.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        ValueError, match=rf"^{pets}/train/cat/9.jpg: the JPEG is truncated \(no end marker after \d+ byt"
    ):
        loader(pets)
    (pets / "train/dog/9.png").write_text("no image")
    (pets / "train/dog/8.png").touch()
    with pytest.raises(
        ValueError, match=r"^3 of 9 samples cannot be used:\n  .*9.jpg: .*\n  .*8.png: .*\n  .*9.png: "
    ):
        loader(pets)
    with pytest.raises(ValueError, match=r"9.jpg: the JPEG is truncated"):
        list(loader(pets, cache=False).epoch(0))


def test_it_can_be_sent_to_workers(pets):
    split = build(pets).splits["val"]
    again = pickle.loads(pickle.dumps(split))
    assert (again.load(5)["image"] == split.load(5)["image"]).all()
