"""Videos are read frame by frame and written as MP4; what is no video is named."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from xvision.data.dataset import DataError
from xvision.data.video import DEFAULT_FPS, VideoFile, open_video

FORMATS = (("mp4v", ".mp4"), ("mp4v", ".mov"), ("mp4v", ".mkv"), ("MJPG", ".avi"), ("VP90", ".webm"))


def flat(value: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:  # type: ignore[type-arg]
    """A frame in RGB that is mostly red."""
    frame = np.zeros((*size, 3), np.uint8)
    frame[..., 0] = value
    return frame


@pytest.mark.parametrize(("codec", "suffix"), FORMATS)
def test_frames_of_a_video(codec: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"clip{suffix}"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10.0, (64, 48))
    for i in range(5):
        writer.write(flat(40 * i)[..., ::-1])
    writer.release()
    video = open_video(path)
    assert (video.fps, video.num_frames, video.stem, video.is_camera) == (10, 5, "clip", False)
    frames = list(video.frames())
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 5
    assert [frame[..., 0].mean() for frame in frames] == pytest.approx([0, 40, 80, 120, 160], abs=6)
    assert max(frame[..., 2].mean() for frame in frames) < 6  # RGB, not BGR


@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_a_written_video_is_read_back(size: tuple[int, int], tmp_path: Path) -> None:
    """MPEG-4 frames have even sides: an odd one gets a line more."""
    file = VideoFile(tmp_path / "new/film.mp4", 5.0)
    for i in range(3):
        file.write(flat(60 + 40 * i, size))
    file.write(flat(180, (24, 32)))  # resized
    file.close()
    video = open_video(tmp_path / "new/film.mp4")
    frames = list(video.frames())
    assert (video.fps, len(frames)) == (5, 4)
    assert frames[0].shape == (48, 64, 3)
    means = [frame[:40, :60, 0].mean() for frame in frames]
    assert means == pytest.approx([60, 100, 140, 180], abs=6)


def test_a_file_that_is_never_written_is_not_there(tmp_path: Path) -> None:
    VideoFile(tmp_path / "film.mp4", DEFAULT_FPS).close()
    assert not list(tmp_path.iterdir())


def test_what_is_no_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(
        DataError, match=r"broken\.mp4: expected a video, OpenCV cannot open it .* convert it"
    ):
        open_video(tmp_path / "broken.mp4")
    writer = cv2.VideoWriter(str(tmp_path / "empty.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    writer.release()
    with pytest.raises(DataError, match=r"empty\.avi: expected a video, "):
        open_video(tmp_path / "empty.avi")
    with pytest.raises(DataError, match="98: expected a camera of this number, none answers"):
        open_video(98)
