"""What `predict` looks at: images, videos and cameras, as frames in their order, each with the one before it.

Frames are read when they are asked for and held no longer than their batch.
"""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2

from xvision.data.dataset import DataError, Sample, Split
from xvision.data.flow import Source as FlowSource
from xvision.data.flow import with_flow
from xvision.data.frames import in_order
from xvision.data.images import SUFFIXES, Pixels, read_image
from xvision.data.video import SUFFIXES as VIDEO_SUFFIXES
from xvision.data.video import Video, open_video
from xvision.models.inputs import Inputs

BATCH_SIZE = 8
"""Frames in memory at once, and as many frames before them."""


@dataclass(frozen=True)
class Frame:
    """One image, or one frame of a video."""

    name: str
    image: Pixels
    previous: Pixels
    """The frame as far before it as in training, or the earliest there is: of the first one that one itself."""
    number: int | None = None
    """Of a frame in its video, from 0."""


@dataclass(frozen=True)
class Pictures:
    """Image files.

    With a `frame_gap` the frame before an image is the file so many before it in its folder, in the order of names
    (numbers by value), whether or not it was asked for. A file of another size, or one that cannot be read, is no
    frame before it, and a warning says so.
    """

    files: tuple[Path, ...]
    frame_gap: int = 0

    def __len__(self) -> int:
        return len(self.files)

    def frames(self, problems: list[str]) -> Iterator[Frame]:
        """The frames that can be read; the others are added to `problems`."""
        before = previous_files(self.files, self.frame_gap) if self.frame_gap else self.files
        recent: deque[tuple[Path, Pixels]] = deque(maxlen=self.frame_gap)
        for file, earlier in zip(self.files, before, strict=True):
            try:
                image = read_image(file, str(file))
            except DataError as error:
                problems.append(str(error))
                continue
            previous = next((pixels for path, pixels in recent if path == earlier), None)
            if previous is None and earlier != file:
                with suppress(DataError):
                    previous = read_image(earlier, str(earlier))
            recent.append((file, image))
            if earlier != file and (previous is None or previous.shape != image.shape):
                warnings.warn(
                    f"{file}: {earlier.name}, the frame before it, cannot be read or has another size; taken as if "
                    "nothing moved",
                    stacklevel=2,
                )
                previous = None
            yield Frame(str(file), image, image if previous is None else previous)


@dataclass(frozen=True)
class Clip:
    """A video or what a camera sees, as far as `most` frames."""

    video: Video
    most: int | None = None
    frame_gap: int = 0

    def __len__(self) -> int:
        """How many frames there will be; 0 if unknown."""
        known = self.video.num_frames
        return min(known, self.most) if known and self.most else known or self.most or 0

    def frames(self, problems: list[str]) -> Iterator[Frame]:
        """Every frame; a video that is damaged somewhere simply ends there."""
        recent: deque[Pixels] = deque(maxlen=self.frame_gap + 1)
        for number, image in enumerate(islice(self.video.frames(), self.most)):
            recent.append(image)
            yield Frame(f"{self.video.name} frame {number}", image, recent[0], number)


Source = Pictures | Clip


def find_sources(texts: Sequence[str], most_frames: int | None = None, *, frame_gap: int = 0) -> list[Source]:
    """What the words of a command line name: images, folders of images and videos at any depth, videos, and cameras
    by their number. Images that follow each other are one source. `frame_gap` is how far before each the network's
    other frame lies, 0 if it takes none.

    Raises: DataError that says what is missing, or is neither an image nor a video; ValueError for a limit of frames
    where nothing has frames.
    """
    found: list[Source] = []
    images: list[Path] = []

    def end_of_images() -> None:
        if images:
            found.append(Pictures(tuple(images), frame_gap))
            images.clear()

    for item in [item for text in texts for item in _items(text)]:
        if isinstance(item, Path) and _is_image(item):
            images.append(item)
        else:
            end_of_images()
            found.append(Clip(_video(item), most_frames, frame_gap))
    end_of_images()
    if most_frames is not None and not any(isinstance(source, Clip) for source in found):
        raise ValueError("--frames: expected a video or a camera to bound, got images alone; leave it out")
    return found


def _items(text: str) -> list[Path | int]:
    """The files, or the camera, that one word names."""
    path = Path(text)
    if path.is_dir():
        known = (*SUFFIXES, *VIDEO_SUFFIXES)
        inside = [f for f in path.rglob("*") if f.suffix.lower() in known and f.is_file()]
        if not inside:
            raise DataError(f"{path}: no image or video in this folder (looked for {', '.join(known)})")
        return [path / name for name in in_order(f.relative_to(path).as_posix() for f in inside)]
    if path.is_file():
        return [path]
    if text.isascii() and text.isdigit():
        return [int(text)]
    raise DataError(f"{path}: no such image, video or folder, and no number of a camera")


def _is_image(file: Path) -> bool:
    """By its name; a file with another name by what it holds."""
    if file.suffix.lower() in SUFFIXES:
        return True
    return file.suffix.lower() not in VIDEO_SUFFIXES and bool(cv2.haveImageReader(str(file)))


def _video(item: Path | int) -> Video:
    try:
        return open_video(item)
    except DataError as error:
        if isinstance(item, int) or item.suffix.lower() in VIDEO_SUFFIXES:
            raise
        raise DataError(
            f"{item}: expected an image or a video, it is neither; images are {', '.join(SUFFIXES)}, videos "
            f"{', '.join(VIDEO_SUFFIXES)} and what else OpenCV opens"
        ) from error


def previous_files(files: Sequence[Path], frame_gap: int) -> list[Path]:
    """For each image file the one `frame_gap` before it in its folder, or the first there: for that one itself."""
    before: dict[Path, Path] = {}
    for folder in dict.fromkeys(file.parent for file in files):
        inside = [f.name for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and f.is_file()]
        names = in_order({*inside, *(f.name for f in files if f.parent == folder)})
        before |= {folder / name: folder / names[max(0, i - frame_gap)] for i, name in enumerate(names)}
    return [before[file] for file in files]


def split_of(frames: Sequence[Frame], inputs: Inputs, source: FlowSource) -> Split:
    """Frames without labels as a split with what a network takes, flow included.

    Nobody gives flow here, so it is estimated even for a network that was trained on given flow.
    """
    pairs = inputs.fields != ("image",)
    samples: list[Sample] = [
        {"image": frame.image, "previous": frame.previous} if pairs else {"image": frame.image}
        for frame in frames
    ]
    names = tuple(frame.name for frame in frames)
    split = Split(names, samples.__getitem__, " ".join(names).__str__)
    return with_flow(split, "dis" if source == "given" else source) if inputs.flow else split


def batches(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """Up to `size` frames at a time.

    >>> [len(batch) for batch in batches(iter([None] * 5), 2)]
    [2, 2, 1]
    """
    rest: Any = iter(frames)
    while batch := list(islice(rest, size)):
        yield batch
