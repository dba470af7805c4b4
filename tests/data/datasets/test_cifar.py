"""CIFAR-10 and CIFAR-100 in each form they come in."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.data.datasets.cifar_files import HUNDRED, TEN, python2_pickle, write_cifar
from xvision.data.datasets import dataset


def packed_in_tar(extracted: Path) -> Path:
    file = extracted.with_name(
        "cifar-10-python.tar.gz" if "10-b" in extracted.name else "cifar-100-python.tar.gz"
    )
    with tarfile.open(file, "w:gz") as tar:
        tar.add(extracted, extracted.name)
    return file


def write_packed(folder: Path, classes: int = 10) -> Path:
    folder.mkdir(parents=True)
    for seed, part in enumerate(("train", "val")):
        rng = np.random.default_rng(seed)
        labels = np.arange(2 * classes, dtype=np.uint8) % classes
        jpegs = [
            cv2.imencode(".jpg", rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))[1].tobytes()
            for _ in labels
        ]
        np.savez(
            folder / f"{part}.npz",
            jpeg=np.frombuffer(b"".join(jpegs), np.uint8),
            offsets=np.cumsum([0, *map(len, jpegs)]),
            labels=labels,
            names=np.array([f"class{label}/{i:04}.jpg".encode() for i, label in enumerate(labels)]),
        )
    return folder


BUILD: dict[int, Callable[..., Any]] = {10: dataset.cifar10, 100: dataset.cifar100}


@pytest.mark.parametrize("kind", [10, 100])
def test_the_archive_extracted_or_not(tmp_path, kind):
    extracted = write_cifar(tmp_path / "extracted", kind)
    tar = packed_in_tar(write_cifar(tmp_path / "packed", kind))
    forms = [extracted, extracted.parent, tar, tar.parent]
    for made in (BUILD[kind](root=str(form)).build() for form in forms):
        assert made.classes == {"class": TEN if kind == 10 else HUNDRED}
        assert {name: len(split) for name, split in made.splits.items()} == {
            "train": 20 if kind == 10 else 4,
            "val": 4,
        }
        train, val = made.splits["train"], made.splits["val"]
        assert train.names[1] == ("automobile/data_batch_1_1.png" if kind == 10 else "thing01/train_1.png")
        rows = np.random.default_rng(5 if kind == 10 else 1).integers(0, 256, (4, 3072), dtype=np.uint8)
        image = val.load(2)["image"]
        assert image.shape == (32, 32, 3)
        assert image[5, 7].tolist() == [rows[2, plane * 1024 + 5 * 32 + 7] for plane in range(3)]
        label = val.load(2)["class"]
        assert (label.dtype, int(label)) == (np.int64, (3 * (5 if kind == 10 else 1) + 2) % kind)
        assert len({train.digest(), val.digest()}) == 2
        again = pickle.loads(pickle.dumps(train))
        assert (again.load(3)["image"] == train.load(3)["image"]).all()


def test_packed_jpegs(tmp_path):
    made = dataset.cifar10(root=str(write_packed(tmp_path / "packed"))).build()
    assert made.classes["class"] == tuple(f"class{i}" for i in range(10))
    train = made.splits["train"]
    assert train.names[13] == "class3/0013.jpg"
    assert int(train.load(13)["class"]) == 3
    assert train.load(13)["image"].shape == (32, 32, 3)
    assert len(pickle.dumps(train.load)) < 1000
    with pytest.raises(
        ValueError,
        match=r"data.root: expected .* holds none of them and looks like cifar10 \(data=cifar10\). Do",
    ):
        dataset.cifar100(root=str(tmp_path / "packed")).build()


def test_a_damaged_jpeg_inside_a_packed_file_is_named(tmp_path):
    folder = write_packed(tmp_path / "packed")
    arrays = dict(np.load(folder / "val.npz"))
    arrays["jpeg"][arrays["offsets"][4] - 2 : arrays["offsets"][4]] = 0
    np.savez(folder / "val.npz", **arrays)
    split = dataset.cifar10(root=str(folder)).build().splits["val"]
    with pytest.raises(ValueError, match=r"val.npz: class3/0003.jpg: the JPEG is truncated"):
        split.load(3)


def test_packed_files_that_do_not_fit_are_named(tmp_path):
    folder = write_packed(tmp_path / "packed")
    (folder / "val.npz").write_bytes(b"no zip")
    with pytest.raises(
        ValueError, match=r"val.npz: expected the arrays jpeg, offsets, labels and names, got '.*'; get t"
    ):
        dataset.cifar10(root=str(folder)).build()
    arrays = dict(np.load(folder / "train.npz"))
    arrays["labels"] = arrays["labels"][::-1]
    np.savez(folder / "val.npz", **arrays)
    with pytest.raises(ValueError, match=r"val.npz: label 9 is called both 'class9' and 'class0'"):
        dataset.cifar10(root=str(folder)).build()


def test_nothing_there_says_what_to_get(tmp_path, monkeypatch):
    monkeypatch.delenv("XVISION_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ValueError,
        match=rf"^data.root: expected a folder with cifar-10-batches-py/, cifar-10-python.tar.gz or train.npz and "
        rf"val.npz; looked for {tmp_path}/cifar10 \(XVISION_DATA is not set\), nothing is there. Download "
        rf"https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz into that folder, or set data.root to where it is.$",
    ):
        dataset.cifar10().build()
    (tmp_path / "cifar100").mkdir()
    with pytest.raises(
        ValueError, match=rf"; {tmp_path}/cifar100 holds none of them. Download https://.*-100-python.tar."
    ):
        dataset.cifar100().build()


class Evil:
    def __reduce__(self) -> Any:
        return print, ("this program should not have run",)


def test_a_pickle_that_runs_programs_is_refused(tmp_path, capsys):
    folder = write_cifar(tmp_path, 10)
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": Evil()}))
    with pytest.raises(
        ValueError,
        match=r"batches.meta: expected a pickled dictionary of arrays, got 'it asks for builtins.print; only arrays",
    ):
        dataset.cifar10(root=str(folder)).build()
    assert "should not have run" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("file", "content", "story"),
    [
        ("data_batch_3", b"garbage", "data_batch_3: expected a pickled dictionary of arrays, got"),
        (
            "data_batch_3",
            python2_pickle([1, 2]),
            "data_batch_3: expected a pickled dictionary of arrays, got a list",
        ),
        (
            "test_batch",
            python2_pickle({"labels": [1]}),
            "test_batch: expected a batch of images and labels, got KeyE",
        ),
        (
            "batches.meta",
            python2_pickle({"a": 1}),
            r"batches.meta: expected the key 'label_names', got \['a'\]; get th",
        ),
        (
            "test_batch",
            python2_pickle({"data": np.zeros((2, 3072), np.uint8), "labels": [1], "filenames": ["x", "y"]}),
            "test_batch: expected as many labels as its 2 images, got 1",
        ),
    ],
)
def test_a_damaged_archive_is_named(tmp_path, file, content, story):
    folder = write_cifar(tmp_path, 10)
    (folder / file).write_bytes(content)
    with pytest.raises(ValueError, match=story):
        dataset.cifar10(root=str(folder)).build()


def test_a_truncated_tar_is_named(tmp_path):
    tar = packed_in_tar(write_cifar(tmp_path, 10))
    content = tar.read_bytes()
    tar.write_bytes(content[: len(content) // 2])
    with pytest.raises(
        ValueError, match=r"cifar-10-python.tar.gz: cifar-10-python.tar.gz: expected a complete archive, g"
    ):
        dataset.cifar10(root=str(tar)).build()


def test_a_tar_of_something_else_is_named(tmp_path):
    with tarfile.open(tmp_path / "cifar-10-python.tar.gz", "w:gz") as tar:
        tar.addfile(tarfile.TarInfo("hello"), io.BytesIO())
    with pytest.raises(
        ValueError, match=r"batches.meta: expected the file, got none of that name; get the archive again"
    ):
        dataset.cifar10(root=str(tmp_path)).build()
