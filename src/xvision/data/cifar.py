"""The files CIFAR-10 and CIFAR-100 come in: the official python archives, and JPEGs packed into npz files.

The archives are pickles of Python 2, and a pickle can run any program when it is read. Ours are read by an
unpickler that knows numpy arrays and built-in containers and refuses everything else.

Source: Krizhevsky, "Learning multiple layers of features from tiny images" (2009);
https://www.cs.toronto.edu/~kriz/cifar.html (section "Dataset layout / Python version").
"""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from xvision.data.dataset import DataError, Dataset, Sample, Split
from xvision.data.detect import find_set
from xvision.data.images import decode_image
from xvision.data.sources import digest, file_hashes


@dataclass(frozen=True)
class Archive:
    """How one of the two official archives is laid out."""

    name: str  # of our data set
    folder: str  # inside the archive
    url: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    meta: str
    label_key: str
    names_key: str  # of the class names in `meta`
    num_classes: int

    @property
    def tar(self) -> str:
        return self.url.rpartition("/")[2]


def open_cifar(archive: Archive, root: str) -> Dataset:
    """The data set at `root`, in whichever form it lies there; its test part is our "val".

    Raises: DataError when nothing of that kind is at `root`, or when a file is damaged.
    """
    holds = f"a folder with {archive.folder}/, {archive.tar} or train.npz and val.npz"
    get = f"Download {archive.url} into that folder, or set data.root to where it is."
    _, form = find_set(archive.name, root, partial(find_form, archive), holds=holds, get=get)
    assert form is not None
    if form.suffix == ".npz":
        parts: dict[str, _Packed | _Batches] = {
            p: _Packed(form.with_name(f"{p}.npz")) for p in ("train", "val")
        }
        classes = _packed_classes([part for part in parts.values() if isinstance(part, _Packed)])
    else:
        classes = _read_meta(archive, form)
        files = {"train": archive.train, "val": archive.test}
        parts = {p: _Batches(archive, form, names, classes) for p, names in files.items()}
    splits = {name: Split(part.names, part.load, part.digest) for name, part in parts.items()}
    return Dataset(archive.name, ("image", "class"), {"class": classes}, splits)


def find_form(archive: Archive, place: Path) -> Path | None:
    """The extracted folder, the archive or the packed train.npz at `place`, if one is there."""
    if place.is_file():
        return place if place.name == archive.tar else None
    for folder in (place, place / archive.folder):
        if all((folder / name).is_file() for name in (*archive.train, *archive.test, archive.meta)):
            return folder
    if (place / archive.tar).is_file():
        return place / archive.tar
    packed = place / "train.npz"
    if (
        packed.is_file()
        and place.joinpath("val.npz").is_file()
        and _num_packed_classes(packed) == archive.num_classes
    ):
        return packed
    return None


@dataclass
class _Packed:
    """JPEG files joined in `jpeg`, cut by `offsets`; `names` are class/file."""

    file: Path

    def __getstate__(self) -> dict[str, Any]:
        return {"file": self.file}  # a worker reads the file itself

    @cached_property
    def arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        try:
            with np.load(self.file, allow_pickle=False) as npz:
                return {key: npz[key] for key in ("jpeg", "offsets", "labels", "names")}
        except Exception as error:  # zip, npy and key errors of a damaged file
            raise DataError(
                f"{self.file}: expected the arrays jpeg, offsets, labels and names, got '{error}'; get the file again"
            ) from error

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(name.decode() for name in self.arrays["names"].tolist())

    def load(self, i: int) -> Sample:
        start, stop = self.arrays["offsets"][i : i + 2]
        image = decode_image(self.arrays["jpeg"][start:stop].tobytes(), f"{self.file.name}: {self.names[i]}")
        return {"image": image, "class": np.asarray(self.arrays["labels"][i], np.int64)}

    def digest(self) -> str:
        return digest(zip([self.file.name], file_hashes(self.file.parent, [self.file.name]), strict=True))


def _num_packed_classes(file: Path) -> int:
    """The number of classes in a packed file, 0 for other npz files."""
    try:
        with np.load(file, allow_pickle=False) as npz:
            return int(npz["labels"].max()) + 1 if {"jpeg", "offsets", "names"} <= set(npz.files) else 0
    except Exception:  # not an npz file, or without labels
        return 0


def _packed_classes(parts: list[_Packed]) -> tuple[str, ...]:
    found: dict[int, str] = {}
    for part in parts:
        for name, label in zip(part.names, part.arrays["labels"].tolist(), strict=True):
            class_name = name.partition("/")[0]
            if found.setdefault(label, class_name) != class_name:
                raise DataError(
                    f"{part.file}: label {label} is called both '{found[label]}' and '{class_name}'"
                )
    return tuple(found[label] for label in sorted(found))


@dataclass
class _Batches:
    """Pickled batches of 3072-byte rows: 32x32 planes of red, green, blue."""

    archive: Archive
    form: Path
    files: tuple[str, ...]
    classes: tuple[str, ...]

    def __getstate__(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in ("archive", "form", "files", "classes")}

    @cached_property
    def content(self) -> tuple[np.ndarray[Any, Any], list[int], list[str]]:
        batches = read_members(self.archive, self.form, self.files)
        images, labels, names = [], [], []
        for file, batch in zip(self.files, batches, strict=True):
            try:
                images.append(
                    np.asarray(batch["data"], np.uint8).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
                )
                labels += [int(label) for label in batch[self.archive.label_key]]
                names += [str(name) for name in batch["filenames"]]
            except (KeyError, ValueError, TypeError) as error:
                raise _damaged(self.form, file, f"a batch of images and labels, got {error!r}") from error
        pixels = np.ascontiguousarray(np.concatenate(images))
        if not len(pixels) == len(labels) == len(names):
            raise _damaged(
                self.form, self.files[0], f"as many labels as its {len(pixels)} images, got {len(labels)}"
            )
        return pixels, labels, [f"{self.classes[k]}/{n}" for k, n in zip(labels, names, strict=True)]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.content[2])

    def load(self, i: int) -> Sample:
        pixels, labels, _ = self.content
        return {"image": pixels[i], "class": np.asarray(labels[i], np.int64)}

    def digest(self) -> str:
        folder, files = (
            (self.form.parent, (self.form.name,)) if self.form.is_file() else (self.form, self.files)
        )
        return digest([*zip(files, file_hashes(folder, files), strict=True), self.files])


def _read_meta(archive: Archive, form: Path) -> tuple[str, ...]:
    meta = read_members(archive, form, (archive.meta,))[0]
    if archive.names_key not in meta:
        raise _damaged(form, archive.meta, f"the key '{archive.names_key}', got {sorted(meta)}")
    return tuple(str(name) for name in meta[archive.names_key])


def read_members(archive: Archive, form: Path, files: tuple[str, ...]) -> list[dict[str, Any]]:
    """The unpickled dictionaries of `files` inside the extracted folder or the archive `form`."""
    if form.is_dir():
        contents = {name: (form / name).read_bytes() for name in files}
    else:
        contents = {}
        try:
            with tarfile.open(form, "r:gz") as tar:
                for member in tar:  # in the order of the file: no second decompression
                    folder, _, name = member.name.rpartition("/")
                    if name in files and folder == archive.folder:
                        stream = tar.extractfile(member)
                        assert stream is not None
                        contents[name] = stream.read()
        except (OSError, EOFError, tarfile.TarError) as error:
            raise _damaged(form, archive.tar, f"a complete archive, got '{error}'") from error
    missing = [name for name in files if name not in contents]
    if missing:
        raise _damaged(form, ", ".join(missing), "the file, got none of that name")
    return [_unpickle(contents[name], form, name) for name in files]


def _damaged(form: Path, file: str, story: str) -> DataError:
    return DataError(f"{form}: {file}: expected {story}; get the archive again")


def _dtype(spec: str, align: object, copy: object) -> np.dtype[Any]:
    return np.dtype(spec, align=bool(align), copy=bool(copy))  # numpy warns about the 0 and 1 of Python 2


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., Any] | type:
        known: dict[tuple[str, str], Callable[..., Any] | type] = {
            ("numpy.core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
            ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,  # type: ignore[attr-defined]
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): _dtype,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}; only arrays are allowed")
        return known[module, name]


def _unpickle(content: bytes, form: Path, file: str) -> dict[str, Any]:
    """A dictionary with text keys; strings of Python 2 are read as Latin-1, which keeps every byte."""
    try:
        read = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a damaged pickle raises nearly anything
        raise _damaged(form, file, f"a pickled dictionary of arrays, got '{error}'") from error
    if not isinstance(read, dict):
        raise _damaged(form, file, f"a pickled dictionary of arrays, got a {type(read).__name__}")
    return read
