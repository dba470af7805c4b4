"""Image files become RGB arrays, label files ids and depth files numbers, or an error that names the file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from xvision.data.dataset import DataError
from xvision.fields import FIELDS
from xvision.files import replacing

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Array = np.ndarray[Any, Any]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
DECODING = "8-bit RGB, turned as EXIF says, gray repeated, transparent pixels blended over 128"
"""What `decode_image` does, for files."""
_PALETTE = 3  # colour type in the header of a PNG
_REPLACE = "replace the file by a good copy or remove it"

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # our errors say it, with the file's name


def read_image(file: Path, name: str) -> Pixels:
    """The image in `file` as decoded by `decode_image`; `name` is what errors call it."""
    return decode_image(_read(file, name, "image"), name)


def read_labels(file: Path, name: str) -> Array:
    """A label PNG as the numbers in it: indices of its palette, else gray values.

    A colour PNG whose three channels agree is taken for gray. Shapes: (H, W) uint8 or uint16. Raises: DataError for
    what is truncated, no PNG or coloured.
    """
    data = _whole_png(_read(file, name, "label PNG"), name, "label PNG")
    if data[25] == _PALETTE:
        return _palette_indices(data, name)
    ids = _decoded(data, name)
    if ids.ndim == 3:
        if not (ids[..., 0] == ids[..., 1]).all() or not (ids[..., 1] == ids[..., 2]).all():
            raise DataError(
                f"{name}: expected one channel of class ids (a gray or palette PNG), got colours; "
                "save ids, not colours"
            )
        ids = ids[..., 0]
    return ids


def read_depth(file: Path, name: str) -> Array:
    """A depth map as the numbers in it: of a 16-bit PNG, or of a .npy file.

    Shapes: (H, W), uint16 or what the .npy holds. Raises: DataError for what is truncated or neither.
    """
    if file.suffix.lower() == ".npy":
        return _read_npy(file, name)
    steps = _decoded(_whole_png(_read(file, name, "16-bit PNG"), name, "16-bit PNG"), name)
    if steps.dtype != np.uint16 or steps.ndim != 2:
        channels = 1 if steps.ndim == 2 else steps.shape[2]
        raise DataError(
            f"{name}: expected depth as a 16-bit gray PNG, got {8 * steps.itemsize} bits in {channels} "
            f"{'channel' if channels == 1 else 'channels'}; save steps of depth, not a picture of it"
        )
    return steps


def _read(file: Path, name: str, what: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise DataError(f"{name}: expected a readable {what}, got '{error.strerror}' for {file}") from error


def _whole_png(data: bytes, name: str, what: str) -> bytes:
    """The data, if it is a PNG from its first mark to its last."""
    if not data:
        raise DataError(f"{name}: expected a {what}, got an empty file; {_REPLACE}")
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        raise DataError(f"{name}: expected a {what}, got a file that is no PNG; {_REPLACE}")
    if data.rfind(b"IEND") < 33:  # the signature and the header end there
        raise DataError(f"{name}: the PNG is truncated (no end marker after {len(data)} bytes); {_REPLACE}")
    return data


def _decoded(data: bytes, name: str) -> Array:
    """What OpenCV finds in an encoded image, unchanged."""
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        decoded = None
    if decoded is None:
        raise DataError(f"{name}: cannot be decoded, it is damaged ({len(data)} bytes); {_REPLACE}")
    return decoded


def _palette_indices(data: bytes, name: str) -> Array:
    """OpenCV would look the colours up."""
    from PIL import Image

    try:
        return np.asarray(Image.open(io.BytesIO(data)), np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{name}: cannot be decoded, it is damaged ({error}); {_REPLACE}") from error


def _read_npy(file: Path, name: str) -> Array:
    try:
        values: Array = np.load(io.BytesIO(_read(file, name, ".npy file")), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{name}: cannot be read as .npy, it is truncated or damaged ({error})") from error
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    elif values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.ndim != 2 or values.dtype.kind not in "uif":
        raise DataError(
            f"{name}: expected depth as numbers of shape (height, width), got {values.dtype} {values.shape}"
        )
    return values


def decode_image(data: bytes, name: str) -> Pixels:
    """An encoded image as RGB: turned as its EXIF orientation says, gray repeated, 16 bits reduced to 8.

    Transparent pixels are blended over the fill of geometry (128, the zero of the network's input), because the
    colour stored under them is arbitrary.

    Shapes: (H, W, 3) uint8. Raises: DataError for what is empty, truncated or not an image.
    """
    if not data:
        raise DataError(f"{name}: expected an image, got an empty file; {_REPLACE}")
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


def write_png(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    """Write RGB (H, W, 3), or values (H, W) of 8 or 16 bits, as PNG, whole or not at all.

    Raises: OSError that names the file, for a full disk too (OpenCV says nothing of that).
    """
    done, png = cv2.imencode(".png", pixels[..., ::-1] if pixels.ndim == 3 else pixels)
    assert done, pixels.shape
    with replacing(path) as temporary:
        temporary.write_bytes(png.tobytes())
