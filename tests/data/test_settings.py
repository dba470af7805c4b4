"""The data section of a recipe."""

from __future__ import annotations

import pytest

from xvision.data.settings import Augment


@pytest.mark.parametrize("zoom", [(1.2, 0.8), (0.0, 1.0), (-1.0, 1.0)])
def test_a_zoom_that_is_no_range_is_refused(zoom):
    with pytest.raises(
        ValueError, match=r"expected the smallest and the largest factor, for example 0.8,1.2; got"
    ):
        Augment(zoom=zoom)
