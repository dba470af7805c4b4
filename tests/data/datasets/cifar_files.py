"""Small CIFAR archives as they are published, written without Python 2."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np

TEN = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
HUNDRED = tuple(f"thing{i:02}" for i in range(100))


def python2_pickle(value: Any) -> bytes:
    """Pickle protocol 2 as Python 2 with numpy 1 wrote it: byte strings, and the alignment of a dtype as a number."""
    return b"\x80\x02" + _pickled(value) + b"."


def _pickled(value: Any) -> bytes:
    match value:
        case str():
            return b"T" + struct.pack("<i", len(value)) + value.encode("latin1")
        case int():
            return b"J" + struct.pack("<i", value)
        case list() | tuple():
            return b"](" + b"".join(_pickled(item) for item in value) + b"e"
        case dict():
            return b"}(" + b"".join(_pickled(key) + _pickled(item) for key, item in value.items()) + b"u"
        case np.ndarray():
            made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
            kind = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            shape = b"(" + b"".join(b"J" + struct.pack("<i", n) for n in value.shape) + b"t"
            content = b"T" + struct.pack("<i", value.nbytes) + value.tobytes()
            return made + b"(K\x01" + shape + kind + b"\x89" + content + b"tb"
    raise TypeError(type(value))


def write_cifar(folder: Path, kind: int) -> Path:
    """A small archive, extracted: 4 images a file."""
    classes = TEN if kind == 10 else HUNDRED
    label_key = "labels" if kind == 10 else "fine_labels"
    files = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"] if kind == 10 else ["train", "test"]
    folder = folder / ("cifar-10-batches-py" if kind == 10 else "cifar-100-python")
    folder.mkdir(parents=True)
    for n, file in enumerate(files):
        images = np.random.default_rng(n).integers(0, 256, (4, 3072), dtype=np.uint8)
        labels = [(3 * n + i) % kind for i in range(4)]
        batch = {"data": images, label_key: labels, "filenames": [f"{file}_{i}.png" for i in range(4)]}
        (folder / file).write_bytes(python2_pickle(batch))
    meta, key = ("batches.meta", "label_names") if kind == 10 else ("meta", "fine_label_names")
    (folder / meta).write_bytes(python2_pickle({key: list(classes)}))
    return folder
