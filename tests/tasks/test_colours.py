"""Pictures of maps."""

from __future__ import annotations

import numpy as np

from xvision.tasks.colours import (
    depth_colours,
    depth_range,
    flow_colours,
    flow_picture,
    legend,
    palette,
    side_by_side,
    strip,
)


def test_colours_of_classes_differ() -> None:
    colours = palette(40).astype(int)
    apart = np.abs(colours[:, None] - colours[None]).sum(2)
    assert apart[~np.eye(40, dtype=bool)].min() > 0
    assert palette(0).shape == (0, 3)


def test_near_is_red_far_is_blue_unknown_is_black() -> None:
    near, far, unknown = depth_colours(np.array([[1.0, 50.0, 0.0]]), 1, 50)[0].astype(int)
    assert near[0] > near[2]
    assert far[2] > far[0]
    assert not unknown.any()


def test_the_scale_fits_the_known_depths() -> None:
    near, far = depth_range(np.array([0.0, 2.0, 3.0, 4.0]))
    assert 2 <= near < far <= 4.04
    assert depth_range(np.zeros(3)) == (1.0, 10.0)


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


def test_pictures_in_a_row_and_a_line_of_text() -> None:
    assert side_by_side([np.zeros((4, 5, 3), np.uint8), np.zeros((9, 2, 3), np.uint8)]).shape == (9, 7, 3)
    assert strip(100, "near", "far").any()


def test_a_legend_takes_the_lines_it_needs() -> None:
    colours = palette(6)
    names = [f"class {i}" for i in range(6)]
    assert legend(600, names, colours).shape == (20, 600, 3)
    narrow = legend(160, names, colours)
    assert narrow.shape[0] in (60, 80)
    for colour in colours:
        assert (narrow == colour).all(2).sum() >= 100  # its patch
    assert legend(160, [], palette(0)).shape == (20, 160, 3)
