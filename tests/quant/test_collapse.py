"""A collapse of the integers' classes is told, by counts and in a quantized network; honest counts are not."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import Tensor, nn

import xvision as xv
from tests.quant.test_calibration_images import Brightness, smooth
from xvision.quant.collapse import ClassCounts, class_outputs, collapsed, predictions
from xvision.quant.methods import method
from xvision.quant.schemes import scheme


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ([30, 30, 40], [28, 33, 39], None),
        ([30, 30, 40], [30, 30, 40], None),
        ([90, 10, 0], [97, 3, 0], None),  # most were of one class before
        ([30, 30, 40], [30, 12, 58], "integers find 'c' in 58% of 100 held-back images, float in 40%"),
        ([30, 30, 40], [100, 0, 0], "integers find 'a' in 100% of 100 held-back images, float in 30%"),
        ([30, 6, 64], [34, 0, 66], "integers never find 'b' (float: 6%) in 100 held-back images"),
        ([30, 4, 66], [34, 0, 66], None),  # not often
        ([9, 2, 9], [10, 0, 10], None),  # too few to tell
        ([3, 3, 4], [10, 0, 0], None),
    ],
)  # fmt: skip
def test_what_is_said_of_counts(before: list[int], after: list[int], said: str | None) -> None:
    counts = [{"class": ClassCounts("images", torch.tensor(one))} for one in (before, after)]
    found = list(collapsed(*counts, {"class": ("a", "b", "c")}))
    assert len(found) == (said is not None), found
    assert said is None or said in found[0]


def test_rare_classes_of_pixels_count_too() -> None:
    before, after = torch.tensor([900, 80, 20]), torch.tensor([915, 85, 0])
    (line,) = collapsed({"map": ClassCounts("pixels", before)}, {"map": ClassCounts("pixels", after)}, {})
    assert "'map' loses classes: integers never find class 2 (float: 2%) in 1000 held-back pixels" in line


class FarFromZero(Brightness):
    """Scores of which all are large: 8 bits do not tell them apart."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 300


@pytest.mark.filterwarnings("ignore:.*dB of signal over")
def test_a_network_whose_scores_collapse() -> None:
    images = smooth(64).float() / 128 - 1
    with pytest.warns(
        UserWarning, match=r"FarFromZero: 'out0' collapses: integers find class \d in \d+% of 16 held"
    ):
        q = xv.quantize(
            FarFromZero(), images, scheme=scheme.pow2(head_bits=8), method=method.ptq(rungs="mse")
        )
    assert len(q.meta["warnings"]["classes"]) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        q = xv.quantize(Brightness(), images, scheme=scheme.pow2(head_bits=8), method=method.ptq(rungs="mse"))
    assert q.meta["warnings"] == {"images": [], "classes": []}


def test_outputs_that_score_classes() -> None:
    assert class_outputs(nn.Conv2d(3, 4, 1)) == {}
    assert class_outputs(Brightness()) == {"out0": ""}
    both = xv.build(xv.recipe("segmentation+depth", "task.segmentation.num_classes=4"))
    assert class_outputs(both) == {"segmentation": "segmentation"}
    image = torch.zeros(2, 3, *both.size, dtype=torch.uint8)
    found = predictions(both.eval(), [(image,)], class_outputs(both))
    assert found["segmentation"].what == "pixels"
    assert int(found["segmentation"].counts.sum()) == 2 * both.size[0] * both.size[1]
