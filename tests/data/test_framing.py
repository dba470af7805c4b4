"""Framing: boxes, points and maps from an image to the input and back, for every kind and many sizes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xvision.data.dataset import Split
from xvision.data.framing import Framed, Framing, default_framing, framing_of, spanning
from xvision.data.geometry import Placement, warp
from xvision.data.loader import Loader, calibration_batches
from xvision.data.settings import Augment, Data, FramingKind

KINDS: tuple[FramingKind, ...] = ("crop", "stretch", "letterbox")


def cases(count: int = 60) -> list[tuple[Framing, tuple[int, int], tuple[int, int]]]:
    """Framings with sizes of an image and an input (HxW): wide, high and square ones, larger and smaller."""
    rng = np.random.default_rng(0)
    return [
        (
            Framing(KINDS[i % 3], float(rng.uniform(0.6, 1)) if KINDS[i % 3] == "crop" and i % 2 else 1.0),
            (int(rng.integers(24, 320)), int(rng.integers(24, 320))),
            (int(rng.integers(24, 200)), int(rng.integers(24, 200))),
        )
        for i in range(count)
    ]


def seen(
    framing: Framing, image: tuple[int, int], target: tuple[int, int]
) -> tuple[float, float, float, float]:
    """The part x0, y0, x1, y1 of the image that the input shows."""
    corners = np.linalg.inv(framing.map(image, target).matrix) @ [[0, target[1]], [0, target[0]], [1, 1]]
    x, y = corners[0].clip(0, image[1]), corners[1].clip(0, image[0])
    return x[0], y[0], x[1], y[1]


@pytest.mark.parametrize(("framing", "image", "target"), cases())
def test_boxes_and_points_there_and_back(
    framing: Framing, image: tuple[int, int], target: tuple[int, int]
) -> None:
    rng = np.random.default_rng(sum(image))
    x0, y0, x1, y1 = seen(framing, image, target)
    spots = rng.uniform((x0 + 0.1, y0 + 0.1), (x1 - 0.1, y1 - 0.1), (8, 2))
    moved, inverse = framing.map(image, target), framing.inverse(image, target)

    points = np.concatenate([spots, np.full((8, 1), 2)], 1).astype(np.float32)[None]
    there = warp("keypoints", points, moved)
    assert (there[..., 2] == 2).all()
    np.testing.assert_allclose(inverse.points(there), points, atol=1e-3)

    low, high = np.minimum(spots[:4], spots[4:]), np.maximum(spots[:4], spots[4:]) + 0.05
    boxes = np.concatenate([low, high, np.arange(4)[:, None]], 1).astype(np.float32)
    there = warp("boxes", boxes, moved)
    wide = (high - low > 2).all(1) & (there[:, 4] >= 0)
    assert (there[:, :4] >= 0).all() or not wide.all()
    np.testing.assert_allclose(inverse.boxes(there)[wide], boxes[wide], atol=1e-3)


@pytest.mark.parametrize(("framing", "image", "target"), cases())
def test_maps_there_and_back(framing: FramingKind, image: tuple[int, int], target: tuple[int, int]) -> None:
    """A map of coordinates is right to a pixel of the coarser side wherever the network has seen the image."""
    height, width = image
    ys, xs = np.mgrid[:height, :width].astype(np.float32) + 0.5
    moved, inverse = framing.map(image, target), framing.inverse(image, target)
    x0, y0, x1, y1 = seen(framing, image, target)
    coarse = 1 / np.minimum(moved.matrix.diagonal()[:2], 1)
    inside = (xs > x0 + 2 * coarse[0]) & (xs < x1 - 2 * coarse[0])
    inside &= (ys > y0 + 2 * coarse[1]) & (ys < y1 - 2 * coarse[1])
    for coordinate, step in ((xs, coarse[0]), (ys, coarse[1])):
        there = torch.from_numpy(warp("depth", coordinate, moved).copy())[None, None]
        for back in (inverse.linear(there), inverse.nearest(there)):
            assert back.shape[-2:] == image
            error = np.abs(back[0, 0].numpy() - coordinate)
            assert error[inside].max(initial=0) <= 1.6 * step


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stride", [1, 4])
def test_a_map_of_a_stride_comes_back_to_its_place(kind: FramingKind, stride: int) -> None:
    """A square in the middle third of the image is found there, whatever the framing and the map's resolution."""
    image, target = (60, 120), (96, 96)
    label = np.zeros(image, np.uint8)
    label[20:40, 50:70] = 1
    there = warp("segmentation", label, Framing(kind).map(image, target))
    small = torch.from_numpy(there)[None, None].float()
    small = torch.nn.functional.avg_pool2d(torch.where(small == 255, 0.0, small), stride)
    back = Framing(kind).inverse(image, target).linear(small)[0, 0] > 0.5
    overlap = (back & torch.from_numpy(label > 0)).sum() / (back | torch.from_numpy(label > 0)).sum()
    assert overlap > 0.85


def test_flow_grows_with_the_image_it_is_brought_to() -> None:
    flow = torch.tensor([3.0, -1.0]).reshape(1, 2, 1, 1).expand(1, 2, 8, 8)
    back = Framing("letterbox").inverse((16, 32), (32, 32)).flow(flow)
    assert back.shape == (1, 2, 16, 32)
    assert back[0, :, 7, 9].tolist() == [
        12,
        -4,
    ]  # a pixel of the map is 4 of the input, here as large as the image


def test_letterbox_fits_the_whole_image_between_fills() -> None:
    image, label = np.full((20, 40, 3), 7, np.uint8), np.full((20, 40), 3, np.uint8)
    moved = Framing("letterbox").map((20, 40), (40, 40))
    there = warp("image", image, moved)
    assert (there[10:30] == 7).all()
    assert (there[:10] == 128).all()
    assert (there[30:] == 128).all()
    assert np.unique(warp("segmentation", label, moved)[[0, 9, 10, 29, 30]], axis=1).ravel().tolist() == [
        255, 255, 3, 3, 255
    ]  # fmt: skip


def test_a_letterbox_in_training_is_central_at_zoom_1_and_its_borders_are_no_room() -> None:
    framing, image, target = Framing("letterbox"), (20, 40), (40, 40)

    def placed(zoom: float, place: float) -> tuple[float, float]:
        matrix = Placement(zoom, zoom, (place, place), (0, 0), 0, False).map(image, target, framing).matrix
        return float(matrix[0, 2]), float(matrix[1, 2])

    for place in (0.0, 0.3, 1.0):
        assert placed(1, place) == (0, 10)
    assert placed(0.5, 0) == (0, 10)  # half as large: anywhere in the framed part
    assert placed(0.5, 1) == (20, 20)
    assert placed(1.5, 0) == (0, 5)  # fills its aspect alone: still central in height
    assert placed(4, 0) == (0, 0)  # covers: cut anywhere
    assert placed(4, 1) == (-120, -40)


def test_defaults_follow_the_labels() -> None:
    assert default_framing(("class",)) == "crop"
    assert default_framing(("class", "segmentation")) == default_framing(("depth",)) == "stretch"
    assert default_framing(("segmentation", "boxes")) == default_framing(("keypoints",)) == "letterbox"
    data = Data(dataset="image_folder", size=(8, 8), crop_ratio=0.5)
    assert framing_of(data, ("class",)) == Framing("crop", 0.5)
    assert framing_of(data, ("depth",)) == Framing("stretch")
    chosen = data.model_copy(update={"framing": "letterbox"})
    assert framing_of(chosen, ("class",)) == Framing("letterbox")


@pytest.mark.parametrize("kind", KINDS)
def test_training_validation_and_calibration_agree(kind: FramingKind) -> None:
    """Without augmentation all three see the same pixels of a square image and of one that is not."""
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, shape, np.uint8) for shape in ((24, 24, 3), (24, 40, 3), (40, 24, 3))]
    split = Split(("a", "b", "c"), lambda i: {"image": images[i]}, lambda: kind)
    plain = Data(dataset="image_folder", size=(16, 16), cache=False, augment=Augment(hflip=0))
    options = {"batch_size": 3, "seed": 0, "framing": Framing(kind)}
    loaded = [
        next(Loader(split, ("image",), plain, train=train, **options).epoch(0)) for train in (True, False)
    ]
    loaded.append(next(calibration_batches(split, ("image",), plain, num_samples=3, **options)))
    by_name = [dict(zip(batch["name"], batch["image"], strict=True)) for batch in loaded]
    assert torch.equal(by_name[1]["b"], by_name[2]["b"])
    same = "a" if kind == "crop" else "abc"  # a crop's place is random in training
    assert all(torch.equal(by_name[0][name], by_name[1][name]) for name in same)
    assert "framing" not in loaded[0]
    assert loaded[1]["framing"] == Framed(Framing(kind), (16, 16))


def test_maps_that_span_the_image_come_as_they_are() -> None:
    maps = torch.randn(1, 2, 6, 8)
    assert spanning((6, 8)).linear(maps) is maps
