"""One map per sample, applied to every field by its row of the table."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from xvision.data.framing import Framing, Map, resize_map
from xvision.data.geometry import Placement, place_samples, warp, warp_sample
from xvision.data.joints import COCO, Joints
from xvision.data.rng import Purpose
from xvision.data.settings import Augment
from xvision.fields import FIELDS

SIZE = (20, 24)
PIXELS = [name for name, field in FIELDS.items() if field.dims.startswith("HW")]
EVERYTHING = Augment(zoom=(0.5, 2.0), aspect=1.5, shift=0.2, rotate_deg=30, hflip=0.5)


def placed(
    x_px: float = 0, y_px: float = 0, zoom: float = 1.0, turn_rad: float = 0.0, hflip: bool = False
) -> Map:
    return Placement(zoom, zoom, (0.5, 0.5), (x_px, y_px), turn_rad, hflip).map(SIZE, SIZE, Framing("crop"))


def random_maps(count: int, target: tuple[int, int] = SIZE, augment: Augment = EVERYTHING) -> list[Map]:
    return [
        p.map(SIZE, target, Framing("crop"))
        for p in place_samples(augment, target, 0, 0, np.arange(count), Purpose.PLACE)
    ]


@pytest.mark.parametrize("name", FIELDS)
def test_the_identity_changes_nothing(sample, name):
    for moved in (placed(), Framing("crop").map(SIZE, SIZE), resize_map(SIZE, SIZE)):
        warped = warp(name, sample[name], moved)
        assert warped.dtype == sample[name].dtype
        np.testing.assert_array_equal(warped, sample[name])


@pytest.mark.parametrize("name", PIXELS)
@pytest.mark.parametrize("shift", [(3, -2), (-5, 0), (0, 4)])
def test_a_whole_shift_moves_pixels_exactly_and_fills_the_rest(sample, name, shift):
    x, y = shift
    warped = warp(name, sample[name], placed(x, y))
    expected = np.full_like(sample[name], FIELDS[name].fill)
    height, width = SIZE
    kept = sample[name][max(0, -y) : height - max(0, y), max(0, -x) : width - max(0, x)]
    expected[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)] = kept
    np.testing.assert_array_equal(warped, expected)


@pytest.mark.parametrize("name", FIELDS)
def test_a_mirror_is_exact_and_its_own_inverse(sample, name):
    once = warp(name, sample[name], placed(hflip=True), joints=COCO)
    np.testing.assert_allclose(
        warp(name, once, placed(hflip=True), joints=COCO), sample[name], rtol=0, atol=1e-4
    )
    if name == "flow":
        np.testing.assert_array_equal(once, sample[name][:, ::-1] * [-1, 1])
    elif name in PIXELS:
        np.testing.assert_array_equal(once, sample[name][:, ::-1])


def test_a_mirror_swaps_joints_and_keeps_the_order_of_box_corners(sample):
    mirrored = warp_sample(sample, placed(hflip=True), COCO)
    joints = sample["keypoints"][:, [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]]
    np.testing.assert_allclose(mirrored["keypoints"][..., 0], SIZE[1] - joints[..., 0], rtol=1e-6)
    np.testing.assert_array_equal(mirrored["keypoints"][..., 1:], joints[..., 1:])
    boxes = sample["boxes"]
    expected = np.stack(
        [SIZE[1] - boxes[:, 2], boxes[:, 1], SIZE[1] - boxes[:, 0], boxes[:, 3], boxes[:, 4]], axis=1
    )
    np.testing.assert_allclose(mirrored["boxes"], expected, rtol=1e-6)


@pytest.mark.parametrize(
    "name", [name for name in PIXELS if FIELDS[name].warp == "nearest" and name != "depth"]
)
def test_labels_are_never_mixed(sample, name):
    known = {*np.unique(sample[name]).tolist(), FIELDS[name].fill}
    for moved in random_maps(20):
        assert set(np.unique(warp(name, sample[name], moved)).tolist()) <= known


@pytest.mark.parametrize("name", PIXELS)
def test_the_target_has_its_size_and_may_be_given(sample, name):
    for moved in random_maps(5, (13, 17)):
        warped = warp(name, sample[name], moved)
        assert warped.shape == (13, 17, *sample[name].shape[2:])
        assert warped.dtype == sample[name].dtype
        out = np.empty_like(warped)
        warp(name, sample[name], moved, out)
        np.testing.assert_array_equal(out, warped)


@pytest.mark.parametrize("name", FIELDS)
def test_a_sample_that_cannot_be_written_to_is_enough(sample, name):
    before = sample[name].copy()
    sample[name].setflags(write=False)
    for moved in random_maps(5):
        warp(name, sample[name], moved)
    np.testing.assert_array_equal(sample[name], before)


def test_image_labels_boxes_and_joints_stay_together():
    """A square is found at the same place in every field, whatever the map."""
    height, width = 120, 160
    tested = 0
    for moved in place_samples(EVERYTHING, (96, 96), 0, 0, np.arange(60), Purpose.PLACE):
        corner = np.array([70, 50])
        mask = np.zeros((height, width), np.uint8)
        mask[50:66, 70:86] = 200
        centre = np.array([[[*(corner + 8), 2.0]] * 17], np.float32)
        box = np.array([[*corner, *(corner + 16), 1]], np.float32)
        moved_map = moved.map((height, width), (96, 96), Framing("crop"))
        image = warp("image", mask[..., None].repeat(3, 2), moved_map)[..., 0]
        labels = warp("segmentation", mask, moved_map)
        x0, y0, x1, y1, _ = warp("boxes", box, moved_map)[0]
        if (x0, y0) < (1, 1) or x1 > 95 or y1 > 95 or min(x0, y0) < 1:
            continue  # partly outside
        tested += 1
        for found in (image > 150, labels == 200):
            rows, columns = np.nonzero(found)
            point = warp("keypoints", centre, moved_map)[0, 0, :2]
            assert abs(columns.mean() + 0.5 - point[0]) < 0.4
            assert abs(rows.mean() + 0.5 - point[1]) < 0.4
            edges = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            assert np.abs(edges - [x0, y0, x1, y1]).max() < 1.3
    assert tested > 20


def test_flow_is_a_difference_of_places(sample):
    flow = np.full((*SIZE, 2), (3.0, -2.0), np.float32)
    for moved in [placed(zoom=2), placed(turn_rad=0.5), placed(hflip=True), *random_maps(10)]:
        warped = warp("flow", flow, moved)
        inside = warp("confidence", np.ones(SIZE, np.float32), moved) == 1
        expected = moved.matrix[:2, :2] @ [3.0, -2.0]
        np.testing.assert_allclose(warped[inside], np.broadcast_to(expected, warped[inside].shape), atol=1e-4)
    np.testing.assert_allclose(warp("flow", flow, placed(zoom=2))[8, 8], [6, -4])
    np.testing.assert_allclose(warp("flow", flow, resize_map(SIZE, (10, 24)))[5, 8], [3, -1])


def test_depth_is_divided_by_the_zoom_and_not_by_a_resize():
    depth = np.full(SIZE, 12.0, np.float32)
    assert (warp("depth", depth, placed(zoom=2)) == 6).all()
    for moved in (
        resize_map(SIZE, (40, 48)),
        Framing("crop").map(SIZE, (10, 12)),
        Framing("crop", 0.5).map(SIZE, SIZE),
    ):
        assert (warp("depth", depth, moved) == 12).all()


def test_unknown_depth_stays_unknown():
    depth = np.zeros(SIZE, np.float32)
    depth[:, 12:] = 8
    for moved in random_maps(20):
        assert set(np.unique(warp("depth", depth, moved) * np.float32(moved.zoom)).round(3).tolist()) <= {
            0,
            8,
        }


@pytest.mark.parametrize("name", ["image", "segmentation", "depth", "confidence"])
def test_enlarging_leaves_no_frame(name):
    shape = (*SIZE, 3) if name == "image" else SIZE
    value = np.full(shape, 7, FIELDS[name].dtype)
    assert (warp(name, value, resize_map(SIZE, (57, 91))) == 7).all()


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_shrinking_averages_instead_of_picking(factor):
    noise = np.random.default_rng(0).integers(0, 256, (60, 120, 3), dtype=np.uint8)
    target = (60 // factor, 120 // factor)
    means = noise.reshape(target[0], factor, target[1], factor, 3).mean((1, 3))
    shrunk = warp("image", noise, resize_map((60, 120), target))
    assert np.abs(shrunk - means).max() <= 0.51


def test_a_turned_and_shrunk_image_is_averaged_too():
    squares = (np.indices((60, 120)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    turned = Placement(1, 1, (0.5, 0.5), (0, 0), 0.1, False).map((60, 120), (15, 30), Framing("crop"))
    inner = warp("image", squares, turned)[4:-4, 4:-4]
    assert inner.min() > 110, "black and white squares, picked one by one, would come through"
    assert inner.max() < 145


def test_shrinking_a_smooth_image_keeps_its_place():
    x, y = np.meshgrid(np.arange(200) + 0.5, np.arange(100) + 0.5)
    ramp = np.stack([x, y, x + y], axis=2).astype(np.uint8)
    for target in ((37, 61), (50, 100), (90, 180), (20, 130)):
        shrunk = warp("image", ramp, resize_map((100, 200), target)).astype(float)
        xs = (np.arange(target[1]) + 0.5) * 200 / target[1]
        assert np.abs(shrunk[..., 0] - xs)[:, 2:-2].max() < 1.1


def test_what_leaves_the_target_is_marked_and_keeps_its_row():
    boxes = np.array([[1, 1, 5, 5, 2], [10, 4, 20, 12, 3], [-1, -1, -1, -1, -1]], np.float32)
    joints = np.zeros((2, 17, 3), np.float32)
    joints[:, :, :] = [[[3, 3, 2]], [[15, 8, 1]]]
    moved = placed(x_px=-8)
    np.testing.assert_allclose(warp("boxes", boxes, moved), [[-1] * 5, [2, 4, 12, 12, 3], [-1] * 5])
    warped = warp("keypoints", joints, moved)
    assert (warped[0] == 0).all()
    np.testing.assert_allclose(warped[1, 0], [7, 8, 1])


def test_boxes_are_clipped_and_turned_boxes_enclose():
    box = np.array([[-5, 2, 60, 90, 1]], np.float32)
    np.testing.assert_allclose(warp("boxes", box, placed()), [[0, 2, 24, 20, 1]])
    square = np.array([[10, 8, 14, 12, 1]], np.float32)
    turned = warp("boxes", square, placed(turn_rad=math.pi / 4))[0]
    assert turned[2] - turned[0] == pytest.approx(4 * math.sqrt(2), rel=1e-4)


def test_no_objects_are_fine():
    for moved in random_maps(3):
        assert warp("boxes", np.zeros((0, 5), np.float32), moved).shape == (0, 5)
        assert warp("keypoints", np.zeros((0, 17, 3), np.float32), moved).shape == (0, 17, 3)


def test_which_joints_a_mirror_swaps_is_for_the_data_set_to_say():
    points = np.array([[[4, 2, 2], [8, 2, 1], [6, 9, 2]]], np.float32)
    hand = Joints(("left_thumb", "right_thumb", "wrist"), ((0, 1),))
    mirrored = warp("keypoints", points, placed(hflip=True), joints=hand)
    np.testing.assert_allclose(mirrored, [[[16, 2, 1], [20, 2, 2], [18, 9, 2]]])


FILLS = {
    "image": 128, "previous": 128, "segmentation": 255, "motion": 255, "depth": 0, "flow": 0, "confidence": 0,
}  # fmt: skip


@pytest.mark.parametrize(("name", "fill"), FILLS.items())
def test_what_a_rotation_brings_in_is_unknown(sample, name, fill):
    value = np.full_like(sample[name], 1)
    turned = warp(name, value, placed(turn_rad=math.pi / 4))
    assert (turned[0, 0] == fill).all()
    assert (turned[-1, -1] == fill).all()


def test_unlabelled_joints_stay_unlabelled():
    joints = np.zeros((1, 17, 3), np.float32)
    for moved in random_maps(10):
        assert (warp("keypoints", joints, moved) == 0).all()


def test_validation_takes_the_central_part_at_its_own_aspect():
    columns = np.broadcast_to(np.arange(40, dtype=np.uint8)[None, :, None], (30, 40, 3)).copy()
    np.testing.assert_array_equal(
        warp("image", columns, Framing("crop").map((30, 40), (30, 30)))[0, :, 0], np.arange(5, 35)
    )
    np.testing.assert_array_equal(
        warp("image", columns, Framing("crop", 0.8).map((30, 40), (24, 24)))[0, :, 0], np.arange(8, 32)
    )
    moved = Framing("crop", 0.5).map((30, 40), (60, 60))
    np.testing.assert_allclose(moved.matrix @ [20, 15, 1], [30, 30, 1])
    assert moved.matrix[0, 0] == moved.matrix[1, 1] == 4


def test_a_longer_sample_is_cropped_anywhere_along_its_length():
    places = place_samples(Augment(hflip=0), (20, 20), 0, 0, np.arange(200), Purpose.PLACE)
    offsets = {int(place.map((20, 30), (20, 20), Framing("crop")).matrix[0, 2]) for place in places}
    assert offsets == set(range(-10, 1))
    assert all(place.map((20, 30), (20, 20), Framing("crop")).matrix[1, 2] == 0 for place in places)


def test_shifts_are_whole_pixels_and_equally_likely():
    places = place_samples(Augment(shift=4 / 32), (32, 32), 0, 0, np.arange(9000), Purpose.PLACE)
    for axis in (0, 1):
        values, counts = np.unique([place.shift_px[axis] for place in places], return_counts=True)
        assert values.tolist() == list(range(-4, 5))
        assert np.abs(counts - 1000).max() < 120


def test_draws_keep_to_their_ranges():
    places = place_samples(EVERYTHING, (50, 100), 0, 0, np.arange(4000), Purpose.PLACE)
    zooms = np.array([math.sqrt(place.zoom_x * place.zoom_y) for place in places])
    aspects = np.array([place.zoom_x / place.zoom_y for place in places])
    angles = np.rad2deg([place.rotate_rad for place in places])
    assert (zooms.min(), zooms.max()) == pytest.approx((0.5, 2.0), rel=0.01)
    assert np.median(zooms) == pytest.approx(1, abs=0.05), "even on a logarithmic scale"
    assert (aspects.min(), aspects.max()) == pytest.approx((1 / 1.5, 1.5), rel=0.01)
    assert (angles.min(), angles.max()) == pytest.approx((-30, 30), abs=0.1)
    assert np.mean([place.hflip for place in places]) == pytest.approx(0.5, abs=0.03)
    assert max(abs(place.shift_px[0]) for place in places) == 20
    assert max(abs(place.shift_px[1]) for place in places) == 10


@pytest.mark.parametrize("setting", ["zoom", "aspect", "shift", "rotate_deg", "hflip"])
def test_every_setting_moves_the_image(sample, setting):
    values = {"zoom": (0.5, 2.0), "aspect": 1.5, "shift": 0.2, "rotate_deg": 30.0, "hflip": 1.0}
    still = random_maps(5, augment=Augment(hflip=0))
    assert all((warp("image", sample["image"], moved) == sample["image"]).all() for moved in still)
    maps = random_maps(5, augment=Augment(**{"hflip": 0, setting: values[setting]}))
    assert any((warp("image", sample["image"], moved) != sample["image"]).any() for moved in maps)


def test_the_same_numbers_come_in_any_batch():
    one = place_samples(EVERYTHING, SIZE, 3, 1, np.array([5]), Purpose.PLACE)
    many = place_samples(EVERYTHING, SIZE, 3, 1, np.array([9, 5]), Purpose.PLACE)
    assert one[0] == many[1]


def test_linear_interpolation_is_that_of_opencv_at_pixel_centres(sample):
    """An independent check of the convention: OpenCV's resize has the same centres."""
    enlarged = warp("image", sample["image"], resize_map(SIZE, (40, 48)))
    expected = cv2.resize(sample["image"], (48, 40), interpolation=cv2.INTER_LINEAR)
    assert np.abs(enlarged.astype(int) - expected).max() <= 1


def test_whole_samples_are_stretched_and_at_zoom_one_nothing_sticks_out() -> None:
    (place,) = place_samples(Augment(hflip=0), (16, 16), 0, 0, np.array([3]), Purpose.PLACE)
    np.testing.assert_allclose(
        place.map((20, 40), (16, 16), Framing("stretch")).matrix, resize_map((20, 40), (16, 16)).matrix
    )
    assert (
        place.map((20, 40), (16, 16), Framing("crop")).matrix[0, 0] == 0.8
    )  # covers: as high as the input, and wider
    same = place.map((20, 40), (8, 16), Framing("crop")).matrix
    assert (place.map((20, 40), (8, 16), Framing("stretch")).matrix == same).all()
