"""People's own images and depth maps, their unit above all."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from tests.data.datasets.conftest import ids, photo, png, steps
from xvision.data.datasets import dataset


def build(root, **settings):
    return dataset.image_depth_folder(root=str(root), **settings).build()


@pytest.fixture
def root(miniature):
    return miniature("image_depth_folder")


def depths(made) -> list[float]:
    return sorted(set(made.splits["val"].load(0)["depth"].reshape(-1).tolist()))


def test_sixteen_bits_count_millimetres_unless_told(root):
    assert depths(build(root)) == [0, 0.5, 1.5]
    assert depths(build(root, unit=0.01)) == [0, 5, 15]
    digests = {build(root, unit=unit).splits["val"].digest() for unit in (None, 0.01)}
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("dtype", "unit", "expected"),
    [("float32", None, [0, 1.5, 3]), ("uint16", None, [0, 1.5, 3]), ("float64", 0.5, [0, 0.75, 1.5])],
)
def test_arrays(tmp_path, dtype, unit, expected):
    stripes = np.array([[0, 1.5, 3, 0]]) * (1000 if dtype == "uint16" else 1)
    values = np.repeat(np.repeat(stripes, 6, 0), 2, 1).astype(dtype)
    if dtype != "uint16":
        values[0] = np.nan
        values[1, 6:] = -np.inf
        values[2, 6:] = -1
    for i, shaped in enumerate((values, values[None], values[..., None])):
        photo(tmp_path / f"images/{i}.jpg", i, values.shape)
        (tmp_path / "depth").mkdir(exist_ok=True)
        np.save(tmp_path / f"depth/{i}.npy", shaped)
    made = build(tmp_path, unit=unit)
    for split in made.splits.values():
        assert sorted(set(split.load(0)["depth"].reshape(-1).tolist())) == expected
        assert split.load(0)["depth"].dtype == np.float32


def test_a_wrong_unit_is_worth_one_warning_with_the_range(root):
    with pytest.warns(
        UserWarning,
        match=rf"^{root}: depths lie between 500 and 1500 m, half of them below 1000 m in a typical file of 6; "
        r"that is probably the wrong unit; set data.unit to metres per step: 0.001 for ",
    ) as warned:
        build(root, unit=1)
    assert len(warned) == 1
    with pytest.warns(UserWarning, match="depths lie between 0.0005 and 0.0015 m"):
        build(root, unit=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(root)


def test_single_files_in_another_unit_are_named(root):
    for i in range(6, 60):
        photo(root / f"images/{i}.jpg", i)
        png(root / f"depth/{i}.png", steps([0, 500 + 40 * i, 1500]))
    png(root / "depth/31.png", steps([0, 1, 2]))
    with pytest.warns(
        UserWarning,
        match=rf"^{root}/depth/31.png: its median depth is 0.001 m, that of a typical file 1.6\d* m; that is "
        r"probably another unit; write all files in one unit$",
    ) as warned:
        build(root)
    assert len(warned) == 1
    png(root / "depth/47.png", steps([0, 1, 2]))
    with pytest.warns(UserWarning, match=rf"^{root}: 2 problems:\n  .*31.png: its .*\n    also .*47.png$"):
        build(root)


def test_files_without_any_depth_are_named(root):
    for i in (2, 3):
        png(root / f"depth/{i}.png", steps([0, 65535]))
    with pytest.warns(
        UserWarning, match=r"2 problems:\n  .*[23].png: no depth is known in it; save .*\n    also "
    ):
        build(root)


def test_empty_folders_are_told(tmp_path):
    for name in ("images", "depth"):
        (tmp_path / name).mkdir()
    with pytest.raises(
        ValueError,
        match=rf"^{tmp_path}/images: expected images and depth maps for 'train', got none; add files to",
    ):
        build(tmp_path)


def test_all_wrong_depth_maps_are_named_at_once(root):
    for i in (1, 4):
        png(root / f"depth/{i}.png", ids([0, 100]))
    with pytest.raises(ValueError, match=r"2 problems:\n  .*1.png: expected depth as .*\n    also .*4.png$"):
        build(root)


def test_no_known_depth_is_worth_a_warning(root):
    for i in range(6):
        png(root / f"depth/{i}.png", steps([0, 65535]))
    with pytest.warns(UserWarning, match=r"no depth is known in 6 depth maps, .*depth/0.png among them"):
        build(root)


@pytest.mark.parametrize("unit", [0.0, -1.0])
def test_a_unit_is_positive(root, unit):
    with pytest.raises(
        ValueError, match=rf"^data.unit: expected metres per step, for example 0.001, got {unit}$"
    ):
        build(root, unit=unit)


def load_all(root) -> None:
    for split in build(root).splits.values():
        for i in range(len(split)):
            split.load(i)


@pytest.mark.parametrize(
    ("change", "story"),
    [
        (
            lambda file: png(file, ids([0, 100])),
            r"depth/0.png: expected depth as a 16-bit gray PNG, got 8 bits in 1 channel; save steps of depth, not a",
        ),
        (lambda file: photo(file), r"got 8 bits in 3 channels; save steps"),
        (
            lambda file: file.write_bytes(file.read_bytes()[:-12]),
            r"depth/0.png: the PNG is truncated \(no end marker after \d+ bytes\); replace the file by a good copy",
        ),
        (
            lambda file: file.write_bytes(b"P5"),
            r"depth/0.png: expected a 16-bit PNG, got a file that is no PNG; rep",
        ),
        (
            lambda file: file.write_bytes(b""),
            r"depth/0.png: expected a 16-bit PNG, got an empty file; replace",
        ),
        (
            lambda file: damage(file),
            r"depth/0.png: cannot be decoded, it is damaged \(\d+ bytes\); replace the file",
        ),
        (
            lambda file: png(file, steps([9, 99], (12, 32))),
            r"images/0.jpg is 24x32 and .*depth/0.png is 12x32: expected files of one size",
        ),
    ],
)
def test_a_wrong_depth_map_is_named(root, change, story):
    change(root / "depth/0.png")
    with pytest.raises(ValueError, match=story):
        load_all(root)


def damage(file) -> None:
    data = bytearray(file.read_bytes())
    at = data.index(b"IDAT") + 4
    data[at : at + 8] = bytes(8)
    file.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("content", "story"),
    [
        (
            np.zeros((24, 32, 3)),
            r"0.npy: expected depth as numbers of shape \(height, width\), got float64 \(24, 32, 3\)",
        ),
        (
            np.full((24, 32), "x"),
            r"0.npy: expected depth as numbers of shape \(height, width\), got <U1 \(24, 32\)",
        ),
        (None, r"0.npy: cannot be read as .npy, it is truncated or damaged \("),
    ],
)
def test_a_wrong_array_is_named(root, content, story):
    (root / "depth/0.png").unlink()
    np.save(root / "depth/0.npy", np.ones((24, 32)) if content is None else content)
    if content is None:
        (root / "depth/0.npy").write_bytes((root / "depth/0.npy").read_bytes()[:-8])
    with pytest.raises(ValueError, match=story):
        build(root)


def test_what_is_missing_is_listed(root, tmp_path):
    (root / "depth/0.png").unlink()
    with pytest.raises(
        ValueError,
        match=rf"^{root}/images/0.jpg: no depth map belongs to it; expected {root}/depth/0.png or .npy$",
    ):
        build(root)
    with pytest.raises(
        ValueError, match=rf"^{tmp_path}: expected images and depth maps, ROOT.*; it holds no such folder"
    ):
        build(tmp_path)
