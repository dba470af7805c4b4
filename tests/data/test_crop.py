"""Rectangles that are cut out, and rectangles of which nothing is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.conftest import every_field
from xvision.data.crop import cut_pixels, within
from xvision.data.dataset import DataError, Split
from xvision.data.framing import Framing, Map
from xvision.data.geometry import warp_sample
from xvision.data.loader import Loader, calibration_batches
from xvision.data.settings import Augment, Data
from xvision.fields import FIELDS
from xvision.recipes import recipe
from xvision.recipes.overrides import override

CROP = (2, 3, 14, 21)  # 12x18 of 20x24
MASK = (10, 0, 20, 24)


def data(**settings: object) -> Data:
    return Data(dataset="image_folder", size=(12, 18), augment=Augment(hflip=0), **settings)


def test_every_field_is_moved_as_by_the_matrix_of_the_translation() -> None:
    split = Split(("a",), lambda i: every_field(20, 24, seed=2), lambda: "d")
    cut = within(split, CROP, None).load(0)
    moved = Map(np.array([[1.0, 0, -3], [0, 1, -2], [0, 0, 1]]), (12, 18))
    expected = warp_sample(every_field(20, 24, seed=2), moved)
    assert cut.keys() == expected.keys()
    for field, value in expected.items():
        assert np.array_equal(cut[field], value), field
    assert cut["image"].shape == (12, 18, 3)
    assert np.array_equal(cut["image"], every_field(20, 24, seed=2)["image"][2:14, 3:21])


def test_inside_a_mask_label_maps_are_unknown_and_nothing_else_changes() -> None:
    stored = every_field(20, 24, seed=2)
    split = Split(("a",), lambda i: stored, lambda: "d")
    masked = within(split, None, MASK).load(0)
    for field, value in masked.items():
        if FIELDS[field].warp == "nearest":
            assert (value[10:] == FIELDS[field].fill).all(), field
            assert np.array_equal(value[:10], stored[field][:10]), field
        else:
            assert np.array_equal(value, stored[field]), field
    assert (stored["segmentation"][10:] != 255).all()  # not written into


def test_a_mask_is_in_pixels_of_the_stored_image_before_the_crop() -> None:
    split = Split(("a",), lambda i: every_field(20, 24), lambda: "d")
    label = within(split, CROP, MASK).load(0)["segmentation"]
    assert (label[8:] == 255).all()
    assert (label[:8] != 255).all()


def test_without_rectangles_a_split_is_itself(make_split: Callable[..., Split]) -> None:
    split = make_split(2)
    assert within(split, None, None) is split
    assert cut_pixels(split.load(0)["image"], None).shape == (20, 24, 3)


@pytest.mark.parametrize("cache", [True, False], ids=["cached", "decoded"])
def test_training_validation_and_calibration_see_the_cut_samples(
    cache: bool, make_split: Callable[..., Split], own_cache: Path
) -> None:
    split, settings = make_split(3), data(crop_rect=CROP, mask_rect=MASK, cache=cache)
    expected = torch.from_numpy(np.stack([split.load(i)["image"][2:14, 3:21] for i in range(3)]))
    fields = ("image", "segmentation")
    own = {"framing": Framing("stretch"), "native_size": ("segmentation",)}
    crop = {"framing": Framing("crop")}
    for more in ({"train": True, **crop}, {"train": False, **crop}, {"train": False, **own}):
        loader = Loader(split, fields, settings, batch_size=3, seed=0, **more)
        batch = next(loader.epoch(0))
        order = batch["index"]
        assert torch.equal(batch["image"].permute(0, 2, 3, 1), expected[order])
        assert batch["segmentation"].shape == (3, 12, 18)
        assert (batch["segmentation"][:, 8:] == 255).all()
        assert (batch["segmentation"][:, :8] != 255).all()
    (batch,) = calibration_batches(
        split, ("image",), settings, num_samples=3, batch_size=3, seed=0, framing=Framing("crop")
    )
    assert sorted(image.sum().item() for image in batch["image"]) == sorted(e.sum().item() for e in expected)


def test_a_cache_of_other_rectangles_is_another_one(
    make_split: Callable[..., Split], own_cache: Path
) -> None:
    split = make_split(2)
    digests = {
        within(split, crop, mask).digest()
        for crop, mask in ((None, None), (CROP, None), (None, CROP), (CROP, MASK), ((2, 3, 14, 20), None))
    }
    assert len(digests) == 5
    for crop in (None, CROP):
        settings = data(crop_rect=crop)
        Loader(split, ("image",), settings, batch_size=1, train=False, seed=0, framing=Framing("crop"))
    assert len([f for f in (own_cache / "samples").iterdir() if f.is_dir()]) == 2


@pytest.mark.parametrize("setting", ["crop_rect", "mask_rect"])
@pytest.mark.parametrize("cache", [True, False], ids=["cached", "decoded"])
def test_a_rectangle_that_does_not_fit_names_the_file_and_its_size(
    setting: str, cache: bool, make_split: Callable[..., Split], own_cache: Path
) -> None:
    settings = data(**{setting: (0, 0, 21, 24)}, cache=cache)
    with pytest.raises(
        DataError,
        match=rf"drawn 0: expected an image that holds data\.{setting}=0,0,21,24 \(top, left, bottom, right\), "
        r"got 20x24 \(HxW\); change the rectangle or leave it out",
    ):
        next(
            Loader(
                make_split(1),
                ("image",),
                settings,
                batch_size=1,
                train=False,
                seed=0,
                framing=Framing("crop"),
            ).epoch(0)
        )


def test_a_rectangle_that_fits_no_image_is_told_once(
    make_split: Callable[..., Split], own_cache: Path
) -> None:
    with pytest.raises(
        DataError,
        match=r"^30 of 30 samples cannot be used:\n  drawn 0: expected an image that holds data\.crop_rect=.*\n"
        r"    also drawn 1, .*drawn 10 and 19 more$",
    ):
        Loader(
            make_split(30),
            ("image",),
            data(crop_rect=(0, 0, 21, 24)),
            batch_size=1,
            train=True,
            seed=0,
            framing=Framing("crop"),
        )


def test_fields_of_several_sizes_are_still_named(own_cache: Path) -> None:
    sample = {"image": np.zeros((20, 24, 3), np.uint8), "depth": np.zeros((20, 25), np.float32)}
    split = Split(("odd",), lambda i: sample, lambda: "d")
    with pytest.raises(DataError, match=r"odd: expected fields of one size, got image 20x24, depth 20x25"):
        Loader(
            split,
            ("image", "depth"),
            data(crop_rect=CROP),
            batch_size=1,
            train=False,
            seed=0,
            framing=Framing("crop"),
        )


def test_rectangles_in_a_recipe() -> None:
    plain = recipe.builder("segmentation").load()()
    assert plain.data.crop_rect is None
    changed = override(plain, ["data.crop_rect=0,0,360,480", "data.mask_rect=300, 0, 360, 480"])
    assert changed.data.crop_rect == (0, 0, 360, 480)
    assert changed.to_dict()["data"]["mask_rect"] == "300,0,360,480"
    assert type(changed).model_validate(changed.to_dict()) == changed
    assert changed.id != plain.id
    assert override(changed, ["data.crop_rect=", "data.mask_rect=none"]) == plain
    for text in ("0,0,10", "a,0,1,1", "0,0,0,10", "5,0,4,10", "-1,0,4,10"):
        with pytest.raises(ValueError, match=r"data\.crop_rect: expected .*TOP,LEFT,BOTTOM,RIGHT .* got"):
            override(plain, [f"data.crop_rect={text}"])
