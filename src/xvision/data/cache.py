"""Every sample is decoded once, into memory-mapped files that all processes share.

A cache holds one split for one network size. Per field there is a folder with one file of raw values, and the place and
shape of every sample beside it; a sample is read as a view into the map, without a copy. Samples are kept at most twice
as large as the network needs (images averaged over areas, labels nearest), which is enough for a zoom of 2 and keeps
photographs small.

Folders are named by what determines their content, so a cache is never invalid, only unused; a field appears by a
rename when it is complete. Delete $XVISION_CACHE (default ~/.cache/xvision) whenever the space is needed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from xvision.data.dataset import DataError, Sample, Split
from xvision.data.folders import listing
from xvision.data.framing import resize_map
from xvision.data.geometry import warp_sample
from xvision.data.sources import cache_folder
from xvision.fields import FIELDS

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int], None]  # samples done, samples in all

_FORMAT = 1  # raised when the content of a cache changes its meaning
_OVERSIZE = 2  # stored samples are at most this many times larger than the network's input
_ALIGN_BYTES = 16
_STALE_SECONDS = 3600.0  # an unfinished cache without a write for so long was left by a killed process


def shrinking() -> dict[str, Any]:
    """What a file says of how large photographs are shrunk before they are framed."""
    return {
        "largest_ratio": _OVERSIZE,
        "formula": f"r = {_OVERSIZE} max(H / h, W / w) for the H x W of the network; if r < 1, the image is resized to "
        "max(1, round(h r)) x max(1, round(w r)), else it stays as it is",
        "interpolation": "area",
    }


def prepared(split: Split, fields: tuple[str, ...], size: tuple[int, int] | None) -> Split:
    """The split as it would come out of the cache: only `fields`, samples not larger than the network can use.

    `size` None keeps them as they are.
    """
    return replace(split, load=_Prepared(split, fields, size).load)


def cached(
    split: Split, fields: tuple[str, ...], size: tuple[int, int] | None, progress: Progress | None = None
) -> Split:
    """The prepared split, kept on disk; without the disk, and a warning, where the cache cannot be written.

    Raises: DataError that names every damaged sample.
    """
    ready = prepared(split, fields, size)
    if not len(split):
        return ready
    key = [_FORMAT, split.digest(), len(split), size]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]
    folder = cache_folder() / "samples" / name
    try:
        with _one_writer(folder):
            missing = [field for field in fields if not (folder / field).exists()]
            if missing:
                _write(ready, missing, folder, progress)
    except OSError as error:
        warnings.warn(
            f"the cache folder {cache_folder()} cannot be used ({error.strerror or error}): samples are decoded in "
            "every epoch, which is slower; free some space, or set XVISION_CACHE to another folder",
            stacklevel=2,
        )
        return ready
    return replace(ready, load=_Stored(folder, fields).load)


@dataclass(frozen=True)
class _Prepared:
    split: Split
    fields: tuple[str, ...]
    size: tuple[int, int] | None

    def load(self, i: int) -> Sample:
        """Sample i with its wanted fields, shrunk.

        Raises: DataError that names the damaged file, or fields which are missing or differ in size.
        """
        name = self.split.names[i]
        try:
            sample = self.split.load(i)
        except ValueError as error:  # of a dataset file that knows only ValueError
            raise DataError(str(error)) from error
        missing = [field for field in self.fields if field not in sample]
        if missing:
            raise DataError(
                f"{name}: expected {', '.join(missing)} for this task, the data set gives {', '.join(sample)}; "
                "choose another task or data set"
            )
        wanted = {field: sample[field] for field in self.fields}
        shapes = {
            field: value.shape[:2] for field, value in wanted.items() if FIELDS[field].dims.startswith("HW")
        }
        if len(set(shapes.values())) > 1:
            sizes = ", ".join(f"{field} {shape[0]}x{shape[1]}" for field, shape in shapes.items())
            raise DataError(f"{name}: expected fields of one size, got {sizes}; fix the files")
        if not shapes or self.size is None:
            return wanted
        return _shrink(wanted, next(iter(shapes.values())), self.size)


def _shrink(sample: Sample, shape: tuple[int, ...], size: tuple[int, int]) -> Sample:
    """A sample that is at most `_OVERSIZE` times larger than `size` where it is least so."""
    scale = _OVERSIZE * max(size[0] / shape[0], size[1] / shape[1])
    if scale >= 1:
        return sample
    smaller = max(1, round(shape[0] * scale)), max(1, round(shape[1] * scale))
    return warp_sample(sample, resize_map((shape[0], shape[1]), smaller))


@contextlib.contextmanager
def _one_writer(folder: Path) -> Iterator[None]:
    """Only one process at a time decodes for this folder; the others wait and find it done."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        with contextlib.suppress(OSError):  # a file system without locks: both decode, the first rename wins
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(split: Split, fields: list[str], folder: Path, progress: Progress | None) -> None:
    """Decode everything into a temporary folder and rename its parts.

    Raises: OSError when it cannot be written; DataError for damaged samples. Neither leaves anything behind.
    """
    _remove_stale(folder.parent)
    temporary = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".tmp", dir=folder.parent))
    try:
        problems: list[str] = []
        with contextlib.ExitStack() as stack:
            writers = [_Writer(field, temporary / field, stack) for field in fields]
            for i, sample in enumerate(_decode_ahead(split)):
                if isinstance(sample, str):
                    problems.append(sample)
                elif not problems:
                    for writer in writers:
                        writer.add(sample[writer.field])
                if i == min(63, len(split) - 1):
                    _check_space(temporary, sum(writer.at for writer in writers) / (i + 1) * len(split))
                if progress is not None:
                    progress(i + 1, len(split))
            if problems:
                raise DataError(listing(f"{len(problems)} of {len(split)} samples cannot be used", problems))
            for writer in writers:
                writer.finish()
        folder.mkdir(exist_ok=True)
        for field in fields:
            if not (folder / field).exists():  # where there are no locks another process may have been faster
                os.rename(temporary / field, folder / field)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _decoded(split: Split, i: int) -> Sample | str:
    """Sample i, or what is wrong with it."""
    try:
        return split.load(i)
    except DataError as error:
        return str(error)


def _decode_ahead(split: Split) -> Iterator[Sample | str]:
    """Samples in order, decoded by a few threads (OpenCV works outside the interpreter's lock)."""
    threads = min(
        8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    waiting: deque[Future[Sample | str]] = deque()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        try:
            for i in range(len(split)):
                waiting.append(pool.submit(_decoded, split, i))
                if len(waiting) >= 8 * threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _check_space(folder: Path, expected_bytes: float) -> None:
    free = shutil.disk_usage(folder).free
    if expected_bytes > free:
        raise OSError(f"it needs {expected_bytes / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")


def _remove_stale(folder: Path) -> None:
    for left in folder.glob("*.tmp"):
        with contextlib.suppress(OSError):
            newest = max(f.stat().st_mtime for f in [left, *left.rglob("*")])
            if time.time() - newest > _STALE_SECONDS:
                shutil.rmtree(left)


class _Writer:
    """One field of all samples, on its way to the disk."""

    def __init__(self, field: str, folder: Path, stack: contextlib.ExitStack) -> None:
        folder.mkdir()
        self.field, self._folder = field, folder
        self._values = stack.enter_context((folder / "values").open("wb"))
        self._starts: list[int] = []
        self._shapes: list[tuple[int, ...]] = []
        self.at = 0

    def add(self, value: Array) -> None:
        dtype = np.dtype(FIELDS[self.field].dtype)
        assert value.dtype == dtype, f"{self.field}: {value.dtype}, FIELDS says {dtype}"
        self._starts.append(self.at)
        self._shapes.append(value.shape)
        content = value.tobytes() if value.ndim == 0 else np.ascontiguousarray(value).data
        padding = bytes(-value.nbytes % _ALIGN_BYTES)
        self._values.write(content)
        self._values.write(padding)
        self.at += value.nbytes + len(padding)

    def finish(self) -> None:
        self._values.write(b"\0")  # an empty file cannot be mapped
        self._values.flush()
        os.fsync(self._values.fileno())
        np.save(self._folder / "starts.npy", np.array(self._starts, np.int64))
        np.save(self._folder / "shapes.npy", np.array(self._shapes, np.int32).reshape(len(self._shapes), -1))


@dataclass
class _Stored:
    """Reads samples from a finished cache; pickled as its path, so that workers map the same files."""

    folder: Path
    fields: tuple[str, ...]

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "fields": self.fields}

    @cached_property
    def maps(self) -> dict[str, tuple[Array, Array, Array, np.dtype[Any]]]:
        opened = {}
        for field in self.fields:
            values = np.asarray(np.memmap(self.folder / field / "values", np.uint8, "r"))
            starts = np.load(self.folder / field / "starts.npy")
            shapes = np.load(self.folder / field / "shapes.npy")
            opened[field] = (values, starts, shapes, np.dtype(FIELDS[field].dtype))
        return opened

    def load(self, i: int) -> Sample:
        """Sample i as views into the maps."""
        return {
            field: np.ndarray(shapes[i].tolist(), dtype, values, int(starts[i]))
            for field, (values, starts, shapes, dtype) in self.maps.items()
        }
