"""Videos and cameras: their frames in RGB, one at a time, as OpenCV reads them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from xvision.data.dataset import DataError
from xvision.data.images import Pixels

# What FFmpeg would print of a damaged file our errors say, with its name; the variable is read when a file is opened.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

SUFFIXES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv")
DEFAULT_FPS = 25.0
_MOST_FPS = 240.0  # what files without a rate claim is above it


@dataclass(frozen=True)
class Video:
    """A video file, or a camera by its number."""

    source: Path | int
    fps: float
    num_frames: int
    """As the file says, which may be wrong; 0 if it says nothing, as cameras do."""

    @property
    def is_camera(self) -> bool:
        return isinstance(self.source, int)

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.source)

    @property
    def stem(self) -> str:
        """What files of it are called."""
        return f"camera{self.source}" if isinstance(self.source, int) else self.source.stem

    def frames(self) -> Iterator[Pixels]:
        """Frames (H, W, 3) uint8 RGB, upright, until the file ends or the camera is gone.

        Raises: DataError if there is none.
        """
        capture = _open(self.source)
        try:
            for number in count():
                there, frame = capture.read()
                if not there:
                    if number == 0:
                        raise DataError(_no_frame(self.source))
                    return
                yield _rgb(frame)
        finally:
            capture.release()


def open_video(source: Path | int) -> Video:
    """A file that is a video, or a camera that is there; of a file the first frame is read.

    Raises: DataError.
    """
    capture = _open(source)
    try:
        # a camera keeps its first frames: opened twice in a row, some deliver none
        if not isinstance(source, int) and not capture.read()[0]:
            raise DataError(_no_frame(source))
        fps = capture.get(cv2.CAP_PROP_FPS)
        num_frames = 0 if isinstance(source, int) else int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    finally:
        capture.release()
    return Video(source, fps if 0 < fps <= _MOST_FPS else DEFAULT_FPS, max(0, num_frames))


def _open(source: Path | int) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
    if capture.isOpened():
        return capture
    if isinstance(source, int):
        raise DataError(
            f"{source}: expected a camera of this number, none answers; check that it is plugged in and not in use, "
            "and that you may read it"
        )
    raise DataError(
        f"{source}: expected a video, OpenCV cannot open it (damaged, or a codec that it lacks); convert it, for "
        "example with `ffmpeg -i FILE FILE.mp4`"
    )


def _no_frame(source: Path | int) -> str:
    if isinstance(source, int):
        return f"{source}: expected frames, the camera gives none; check that no other program uses it"
    return f"{source}: expected a video, it has no frame that can be decoded; convert it or leave it out"


def _rgb(frame: np.ndarray[Any, Any]) -> Pixels:
    code = cv2.COLOR_GRAY2RGB if frame.ndim == 2 or frame.shape[2] == 1 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(frame, code)  # type: ignore[return-value]


class VideoFile:
    """An MP4 file that is written frame by frame; it is whole once it is closed.

    MPEG-4 part 2 (mp4v) is the codec that OpenCV's own wheels always hold. Its frames have even sides, so an odd one
    gets a dark line.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.path = path
        self.fps = fps
        self._size = (0, 0)
        self._writer: cv2.VideoWriter | None = None

    def write(self, frame: Pixels) -> None:
        """Append a frame (H, W, 3) in RGB; all are as large as the first.

        Raises: OSError if the file cannot be made.
        """
        height, width = frame.shape[:2]
        if self._writer is None:
            self._size = height, width
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)  # it may be a link to another film
            even = width + width % 2, height + height % 2
            self._writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter.fourcc(*"mp4v"), self.fps, even)
            if not self._writer.isOpened():
                raise OSError(f"{self.path}: cannot be written as MP4 of {width}x{height} (WxH)")
        if (height, width) != self._size:
            frame = cv2.resize(frame, self._size[::-1], interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        padding = ((0, self._size[0] % 2), (0, self._size[1] % 2), (0, 0))
        self._writer.write(np.pad(frame, padding, constant_values=24)[..., ::-1])

    def close(self) -> None:
        """Raises: OSError if it did not become a film; OpenCV says nothing of a full disk."""
        if self._writer is None:
            return
        self._writer.release()
        self._writer = None
        if not cv2.VideoCapture(str(self.path)).isOpened():
            self.path.unlink(missing_ok=True)
            raise OSError(f"{self.path}: cannot be written whole; is the disk full?")
