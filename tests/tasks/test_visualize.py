"""How pictures are laid out."""

from __future__ import annotations

import numpy as np

from xvision.tasks.palette import palette
from xvision.tasks.visualize import STRIP_PX, column, legend, legible, row, side_by_side, strip, titled


def grey(height: int, width: int, value: int = 90) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.full((height, width, 3), value, np.uint8)


def test_narrow_pictures_become_legible() -> None:
    assert legible(grey(8, 60)).shape == (24, 180, 3)
    assert legible(grey(8, 160)).shape == (8, 160, 3)


def test_texts_are_spread_over_a_line() -> None:
    def inked(*texts: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        thirds: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = (strip(300, *texts) > 100).any((0, 2))
        return thirds.reshape(3, 100).any(1)

    assert inked().tolist() == [False, False, False]
    assert inked("near").tolist() == [True, False, False]
    assert inked("near", "far").tolist() == [True, False, True]
    assert inked("near", "mid", "far").tolist() == [True, True, True]


def test_every_pane_has_its_heading() -> None:
    panes = {"label": grey(20, 160), "prediction": grey(30, 200)}
    for made, tops in ((row(panes), [(0, 0), (0, 160)]), (column(panes), [(0, 0), (STRIP_PX + 20, 0)])):
        for (heading, picture), (top, left) in zip(panes.items(), tops, strict=True):
            height, width = picture.shape[:2]
            part = made[top : top + STRIP_PX + height, left : left + width]
            assert np.array_equal(part, titled(heading, picture))


def test_pictures_in_a_row_and_below_each_other() -> None:
    assert side_by_side([grey(4, 5), grey(9, 2)]).shape == (9, 7, 3)
    both = column({"tall": grey(2, 3, 1), "wide": grey(4, 7, 2)})
    assert both.shape == (2 * STRIP_PX + 2 * 2 + 4, 7, 3)  # the narrow one by a whole factor
    assert (both[STRIP_PX : STRIP_PX + 4, :6] == 1).all()
    assert (both[STRIP_PX : STRIP_PX + 4, 6] == 24).all()


def test_a_legend_takes_the_lines_it_needs() -> None:
    colours = {f"class {i}": tuple(colour) for i, colour in enumerate(palette(6).tolist())}
    assert legend(600, colours).shape == (20, 600, 3)
    narrow = legend(160, colours)
    assert narrow.shape[0] in (60, 80)
    for colour in colours.values():
        assert (narrow == colour).all(2).sum() >= 100  # its patch
    assert legend(160, {}).shape == (20, 160, 3)
