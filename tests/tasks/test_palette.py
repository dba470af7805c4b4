"""Maps in colours."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest

from xvision.tasks.palette import (
    UNKNOWN,
    depth_colours,
    depth_picture,
    depth_range,
    depth_scale,
    flow_colours,
    flow_picture,
    label_overlay,
    palette,
)


def test_colours_of_classes_differ() -> None:
    colours = palette(40).astype(int)
    apart = np.abs(colours[:, None] - colours[None]).sum(2)
    assert apart[~np.eye(40, dtype=bool)].min() > 0
    assert palette(0).shape == (0, 3)


def test_the_image_changes_the_brightness_of_a_class_and_not_its_hue() -> None:
    image = np.random.default_rng(0).integers(0, 256, (9, 9, 3), dtype=np.uint8)
    for colour in palette(12):
        drawn = label_overlay(image, np.zeros((9, 9), np.uint8), colour[None])
        hue, saturation, value = colorsys.rgb_to_hsv(*(colour / 255))
        for pixel in drawn.reshape(-1, 3):
            h, s, v = colorsys.rgb_to_hsv(*(pixel / 255))
            assert min(abs(h - hue), 1 - abs(h - hue)) < 0.01
            assert s == pytest.approx(saturation, abs=0.02)
            assert 0.48 * value < v <= value
        assert len(np.unique(drawn.reshape(-1, 3), axis=0)) > 10  # the image is still seen


def test_lines_stand_between_regions_and_unknown_is_grey() -> None:
    labels = np.zeros((40, 60), np.uint8)
    labels[:, 20:40], labels[:, 40:] = 1, 255
    image = np.full((80, 120, 3), (250, 20, 20), np.uint8)
    drawn = label_overlay(image, labels, palette(2))
    assert (drawn == 0).all(2).any(0).nonzero()[0].tolist() == [40, 80]
    assert (drawn[:, 90] == drawn[:, 90, :1]).all()  # a red image, too
    assert (drawn[:, 90] < 100).all()
    assert (label_overlay(image, labels[:, :20], palette(2)) > 0).any(2).all()  # one region has no border


def test_lines_are_as_wide_as_can_be_seen() -> None:
    labels = np.eye(2, dtype=np.uint8)
    black = {
        side: (label_overlay(np.full((side, side, 3), 9, np.uint8), labels, palette(2)) == 0).all(2).sum()
        for side in (100, 1000)
    }
    assert 0 < black[100] < 2 * 100
    assert black[1000] > 3 * 1000


def test_near_is_red_far_is_blue_unknown_is_grey() -> None:
    near, far, unknown = depth_colours(np.array([[1.0, 50.0, 0.0]]), 1, 50)[0].astype(int)
    assert near[0] > 2 * near[2]
    assert far[2] > 2 * far[0]
    assert tuple(unknown) == UNKNOWN
    scale = depth_colours(np.linspace(1, 50, 500)[None], 1, 50)[0].astype(int)
    assert np.ptp(scale, axis=1).min() > 40  # no depth looks grey


def test_the_range_is_that_of_the_known_depths() -> None:
    near, far = depth_range(np.array([0.0, 2.0, 3.0, 4.0]))
    assert 2 <= near < far <= 4
    assert depth_range(np.zeros(3)) == (0, 0)


def test_the_scale_of_a_flat_map_does_not_show_its_noise() -> None:
    flat = 3 + 0.01 * np.random.default_rng(0).normal(size=(20, 20))
    near, far = depth_scale(flat)
    assert far / near == pytest.approx(2)
    assert (near * far) ** 0.5 == pytest.approx(3, rel=0.01)
    assert np.ptp(depth_colours(flat, near, far).astype(int), axis=(0, 1)).max() < 30
    deep = np.array([1.0, 10.0])
    assert depth_scale(deep) == depth_range(deep)


def test_the_first_map_that_knows_a_depth_gives_the_scale() -> None:
    nothing, label, found = np.zeros(3), np.array([1.0, 5.0]), np.array([2.0, 90.0])
    assert depth_scale(label, found) == depth_range(label)
    assert depth_scale(nothing, found) == depth_range(found)
    assert depth_scale(nothing) == (1.0, 10.0)


def test_a_picture_of_depth_says_what_is_unknown() -> None:
    image, depth_m = np.zeros((20, 160, 3), np.uint8), np.full((20, 160), 2.0)
    known = depth_picture(image, depth_m, 1, 4)
    assert known.shape == (20 + 8 + 26, 160, 3)
    depth_m[0, 0] = 0
    assert depth_picture(image, depth_m, 1, 4).shape == (known.shape[0] + 20, 160, 3)


def test_flow_shows_direction_by_hue_and_length_by_saturation() -> None:
    flow = np.array([[[0.0, 0.0], [4.0, 0.0], [-4.0, 0.0]]])
    still, right, left = flow_colours(flow)[0].astype(int)
    assert still.tolist() == [255, 255, 255]
    assert np.abs(right - left).sum() > 200


def test_a_picture_of_flow_explains_its_colours() -> None:
    flow = np.zeros((64, 192, 2), np.float32)
    flow[:32, :48] = (3.0, 0.0)
    picture = flow_picture(flow)
    assert picture.shape == (64 + 26, 192, 3)
    assert (picture[40, 10] == 255).all()  # no motion is white, and so is the middle of the wheel
    middle = picture[64 - 9, 192 - 9]
    assert (middle > 240).all()
    assert (
        np.abs(picture[64 - 9, 192 - 2].astype(int) - picture[0, 0]) < 40
    ).all()  # its right end is flow to the right
    assert flow_picture(flow[:8, :80]).shape == (2 * 8 + 26, 160, 3)


def test_an_outlier_in_a_flow_does_not_pale_the_rest() -> None:
    flow = np.zeros((64, 192, 2), np.float32)
    flow[:, :96] = (3.0, 0.0)
    wild = flow.copy()
    wild[40, 10] = (500.0, 0.0)
    plain, picture = flow_picture(flow), flow_picture(wild)
    np.testing.assert_array_equal(picture[:32, :48], plain[:32, :48])
    assert picture[:32, :48].astype(int).std(axis=2).min() > 50  # full colour, not white
