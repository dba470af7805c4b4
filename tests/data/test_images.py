"""Image files become RGB."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from xvision.data.images import SUFFIXES, decode_image, read_depth, read_image, read_labels

RED_OVER_BLUE = np.array([[[250, 10, 20]] * 32] * 16 + [[[20, 10, 250]] * 32] * 16, np.uint8)


def encoded(pixels, suffix: str = ".png", **options) -> bytes:
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(stream, Image.registered_extensions()[suffix], **options)
    return stream.getvalue()


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s != ".pgm"])
def test_every_format_gives_rgb(suffix):
    decoded = decode_image(encoded(RED_OVER_BLUE, suffix), "x")
    assert decoded.dtype == np.uint8
    assert np.abs(decoded[4, 4].astype(int) - [250, 10, 20]).max() < 8
    assert np.abs(decoded[28, 28].astype(int) - [20, 10, 250]).max() < 8


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".pgm", ".tif"])
def test_gray_is_repeated(suffix):
    decoded = decode_image(encoded(np.full((8, 9), 77, np.uint8), suffix), "x")
    assert decoded.shape == (8, 9, 3)
    assert (np.abs(decoded.astype(int) - 77) <= 1).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_reduced_to_eight(suffix):
    gray = np.full((8, 8), 200 * 257, np.uint16)
    ok, data = cv2.imencode(suffix, gray)
    assert ok
    assert (np.abs(decode_image(data.tobytes(), "x").astype(int) - 200) <= 1).all()


@pytest.mark.parametrize(
    ("suffix", "options"), [(".png", {}), (".webp", {"lossless": True}), (".webp", {"quality": 95})]
)
def test_transparent_pixels_become_the_neutral_gray(suffix, options):
    pixels = np.full((16, 16, 4), (200, 40, 90, 255), np.uint8)
    pixels[:, :8, 3] = 0
    decoded = decode_image(encoded(pixels, suffix, **options), "x").astype(int)
    assert (np.abs(decoded[:, :6] - 128) <= 4).all()
    assert (np.abs(decoded[:, 10:] - [200, 40, 90]) <= 8).all()


def test_half_transparent_pixels_are_blended():
    decoded = decode_image(encoded(np.full((4, 4, 4), (228, 28, 128, 128), np.uint8)), "x")
    assert (np.abs(decoded.astype(int) - [178, 78, 128]) <= 1).all()


def test_a_transparent_colour_of_a_palette_is_blended_too():
    image = Image.new("P", (4, 4))
    image.putpalette([255, 0, 0] * 256)
    assert (decode_image(encoded(image, transparency=0), "x") == 128).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_photograph_is_respected(orientation):
    image = Image.fromarray(RED_OVER_BLUE[:, :20])
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = np.asarray(Image.open(io.BytesIO(encoded(image, ".jpg"))))
    turned = {
        1: turned, 2: turned[:, ::-1], 3: turned[::-1, ::-1], 4: turned[::-1],
        5: turned.transpose(1, 0, 2), 6: np.rot90(turned, -1), 7: turned[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(turned),
    }[orientation]  # fmt: skip
    decoded = decode_image(encoded(image, ".jpg", exif=exif), "x")
    assert decoded.shape == turned.shape
    assert np.abs(decoded.astype(int) - turned).max() < 12


def test_colours_of_a_print_are_converted():
    assert decode_image(encoded(Image.new("CMYK", (8, 8)), ".jpg"), "x").min() > 240


def with_thumbnail(data: bytes, thumbnail: bytes) -> bytes:
    """A JPEG that carries a small one in a segment of its header, as cameras write them."""
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + data[2:]


def test_a_truncated_jpeg_is_refused():
    data = encoded(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8), ".jpg")
    for length in (3, 100, len(data) // 2, len(data) - 2):
        with pytest.raises(
            ValueError, match=rf"rose.jpg: the JPEG is truncated \(no end marker after {length} bytes\); r"
        ):
            decode_image(data[:length], "rose.jpg")


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_image():
    data = with_thumbnail(encoded(RED_OVER_BLUE, ".jpg"), encoded(RED_OVER_BLUE[:8, :8], ".jpg"))
    assert decode_image(data, "x").shape == (32, 32, 3)
    with pytest.raises(ValueError, match=r"truncated"):
        decode_image(data[:-40], "x")


def test_bytes_after_the_end_of_a_jpeg_do_no_harm():
    assert decode_image(encoded(RED_OVER_BLUE, ".jpg") + bytes(100), "x").shape == (32, 32, 3)


@pytest.mark.parametrize("suffix", [s for s in SUFFIXES if s not in (".jpg", ".jpeg", ".pgm")])
def test_other_formats_are_refused_when_truncated(suffix):
    data = encoded(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8), suffix)
    with pytest.raises(
        ValueError, match=r"x: cannot be decoded, it is truncated or not an image \(\d+ bytes\); replace"
    ):
        decode_image(data[: len(data) // 2], "x")


@pytest.mark.parametrize("data", [b"hello world" * 9, b"\xff\xd8\xff", b"\x89PNG\r\n", bytes(50)])
def test_garbage_is_refused(data):
    with pytest.raises(ValueError, match=r"x: (cannot be decoded|the JPEG is truncated)"):
        decode_image(data, "x")


def test_an_empty_and_a_missing_file_are_named(tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(
        ValueError, match=r"empty.png: expected an image, got an empty file; replace the file by a good"
    ):
        read_image(tmp_path / "empty.png", "empty.png")
    with pytest.raises(
        ValueError, match=r"gone.png: expected a readable image, got 'No such file or directory'"
    ):
        read_image(tmp_path / "gone.png", "gone.png")


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_gives_its_indices(tmp_path, bits):
    indices = np.random.default_rng(0).integers(0, 2**bits, (9, 13), dtype=np.uint8)
    image = Image.frombytes("P", (13, 9), indices.tobytes())
    image.putpalette(np.random.default_rng(1).integers(0, 255, 3 * 2**bits).tolist())
    image.save(tmp_path / "ids.png", bits=bits)
    np.testing.assert_array_equal(read_labels(tmp_path / "ids.png", "ids.png"), indices)


@pytest.mark.parametrize("mode", ["P", "L", "I;16"])
def test_truncated_and_damaged_labels_and_depth_are_refused(tmp_path, mode):
    """Where a decoder fills what is missing with zeros, a label would become class 0 and nobody would see it."""
    pixels = (
        np.random.default_rng(0).integers(0, 250, (64, 64)).astype(np.uint16 if mode == "I;16" else np.uint8)
    )
    image = Image.frombytes(mode, (64, 64), pixels.tobytes())
    if mode == "P":
        image.putpalette(list(range(256)) * 3)
    image.save(tmp_path / "x.png")
    data = (tmp_path / "x.png").read_bytes()
    read = read_depth if mode == "I;16" else read_labels
    np.testing.assert_array_equal(read(tmp_path / "x.png", "x"), pixels)
    end = data[-12:]
    for cut in (data[: len(data) // 2] + end, data[:-60] + end, data[:60] + bytes(20) + data[80:]):
        (tmp_path / "x.png").write_bytes(cut)
        with pytest.raises(
            ValueError, match=r"^x: cannot be decoded, it is damaged \(.*\); replace the file"
        ):
            read(tmp_path / "x.png", "x")
    (tmp_path / "x.png").write_bytes(data[:-12])
    with pytest.raises(
        ValueError, match=r"^x: the PNG is truncated \(no end marker after \d+ bytes\); replace the file"
    ):
        read(tmp_path / "x.png", "x")
    with pytest.raises(
        ValueError, match=r"^y: expected a readable (label|16-bit) PNG, got 'No such file or directory' f"
    ):
        read(tmp_path / "y.png", "y")
