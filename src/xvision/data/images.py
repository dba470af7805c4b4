"""Image files become RGB arrays, or an error that names the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from xvision.data.dataset import DataError
from xvision.fields import FIELDS

Pixels = np.ndarray[Any, np.dtype[np.uint8]]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
_REPLACE = "replace the file by a good copy or remove it"

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our errors say it, with the file's name


def read_image(file: Path, name: str) -> Pixels:
    """The image in `file` as decoded by `decode_image`; `name` is what errors call it."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DataError(f"{name}: expected a readable image, came '{error.strerror}' for {file}") from error
    return decode_image(data, name)


def decode_image(data: bytes, name: str) -> Pixels:
    """An encoded image as RGB: turned as its EXIF orientation says, gray repeated, 16 bits reduced to 8.

    Transparent pixels are blended over the fill of geometry (128, the zero of the network's input), because the
    colour stored under them is arbitrary.

    Shapes: (H, W, 3) uint8. Raises: DataError for what is empty, truncated or not an image.
    """
    if not data:
        raise DataError(f"{name}: expected an image, came an empty file; {_REPLACE}")
    # Some OpenCV versions fill the missing part of a truncated JPEG with gray and report success.
    if data.startswith(b"\xff\xd8") and not _jpeg_is_complete(data):
        raise DataError(f"{name}: the JPEG is truncated (no end marker after {len(data)} bytes); {_REPLACE}")
    blended = _has_alpha(data)
    flags = cv2.IMREAD_UNCHANGED if blended else cv2.IMREAD_COLOR
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        decoded = None
    if decoded is None:
        raise DataError(
            f"{name}: cannot be decoded, it is truncated or not an image ({len(data)} bytes); {_REPLACE}"
        )
    pixels = _blend(decoded) if blended and decoded.ndim == 3 and decoded.shape[2] == 4 else decoded
    if pixels.ndim == 2:
        return cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB)  # type: ignore[return-value]
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


def _jpeg_is_complete(data: bytes) -> bool:
    """Whether an end marker follows the image's own scan (a thumbnail in the header has one of its own)."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xDA:  # start of scan: from here on FF D9 occurs as the end marker only
            return data.find(b"\xff\xd9", at) >= 0
        at += 1 if marker == 0xFF else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False


def _has_alpha(data: bytes) -> bool:
    if data.startswith(b"\x89PNG"):
        return data[25:26] in (b"\x04", b"\x06") or b"tRNS" in data[: data.find(b"IDAT")]
    if data[8:12] == b"WEBP":
        return data[12:16] == b"VP8L" or (data[12:16] == b"VP8X" and bool(data[20] & 0x10))
    return False


def _blend(bgra: np.ndarray[Any, Any]) -> Pixels:
    largest = np.iinfo(bgra.dtype).max
    alpha = bgra[..., 3:].astype(np.float32) / largest
    color = bgra[..., :3].astype(np.float32) * (255 / largest)
    fill = FIELDS["image"].fill
    return np.rint(fill + (color - fill) * alpha).astype(np.uint8)
