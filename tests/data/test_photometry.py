"""Colours and mixtures: every setting acts, none leaks."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from xvision.data.photometry import PhotometricRandAugment, Photometry
from xvision.data.settings import Augment

CLASSES = {"class": ("a", "b", "c", "d", "e")}
INDICES = np.array([4, 8, 15, 16, 23, 42])
COLOURS = {
    "brightness": 0.5,
    "contrast": 0.5,
    "saturation": 0.5,
    "hue": 0.3,
    "randaugment": 2,
    "erasing": 1.0,
}


def make_batch(fields: tuple[str, ...] = ("image", "class")) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    batch = {
        name: torch.randint(0, 256, (6, 3, 24, 32), dtype=torch.uint8, generator=generator)
        for name in fields
        if name in ("image", "previous")
    }
    batch["class"] = torch.arange(6) % 5
    return batch


def changed(augment: Augment, fields: tuple[str, ...] = ("image", "class"), epoch: int = 0):
    batch = make_batch(fields)
    Photometry(augment, fields, CLASSES).change(batch, 0, epoch, INDICES)
    return batch


@pytest.mark.parametrize("setting", COLOURS)
def test_every_setting_changes_the_image(setting):
    batch = changed(Augment(**{setting: COLOURS[setting]}))
    assert batch["image"].dtype == torch.uint8
    assert type(batch["image"]) is torch.Tensor
    moved = (batch["image"] != make_batch()["image"]).flatten(1).any(1)
    assert moved.float().mean() >= 0.5


def test_no_setting_changes_nothing():
    assert torch.equal(changed(Augment())["image"], make_batch()["image"])


def test_every_setting_of_colour_is_tested_here():
    geometry = {"zoom", "aspect", "shift", "rotate_deg", "hflip"}
    assert set(Augment.model_fields) == geometry | set(COLOURS) | {"randaugment_magnitude", "mixup", "cutmix"}


@pytest.mark.parametrize("operation", [o for o in PhotometricRandAugment.operations if o != "identity"])
def test_every_operation_of_randaugment_acts_and_moves_no_pixel(operation):
    columns = torch.randint(
        40, 200, (3, 1, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    image = columns.expand(3, 64, 16).contiguous()
    after = PhotometricRandAugment(1, 20).apply(operation, image, 1.6)
    assert (after != image).any()
    if operation != "sharpness":  # which knows the border
        assert (after == after[:, :1]).all(), "a colour became several"


def test_the_magnitude_of_randaugment_matters():
    weak, strong = (changed(Augment(randaugment=3, randaugment_magnitude=m))["image"] for m in (1, 30))
    before = make_batch()["image"].float()
    assert (strong.float() - before).abs().mean() > (weak.float() - before).abs().mean()


def test_a_sample_is_changed_alike_in_any_batch_and_anew_in_every_epoch():
    augment = Augment(**COLOURS)
    whole = changed(augment)
    single = {name: value[2:3].clone() for name, value in make_batch().items()}
    Photometry(augment, ("image", "class"), CLASSES).change(single, 0, 0, INDICES[2:3])
    assert torch.equal(single["image"][0], whole["image"][2])
    assert not torch.equal(changed(augment, epoch=1)["image"], whole["image"])


def test_both_frames_of_a_pair_get_the_same_change():
    augment = Augment(brightness=0.5, saturation=0.5, erasing=1.0)
    fields = ("image", "previous")
    batch = make_batch(fields)
    batch["previous"] = batch["image"].clone()
    Photometry(augment, fields, {}).change(batch, 0, 0, INDICES)
    assert torch.equal(batch["previous"], batch["image"])
    assert not torch.equal(batch["image"], make_batch(fields)["image"])


def test_erased_pixels_are_neutral():
    erased = changed(Augment(erasing=1.0))["image"] != make_batch()["image"]
    assert (changed(Augment(erasing=1.0))["image"][erased] == 128).all()


@pytest.mark.parametrize("augment", [Augment(mixup=0.8), Augment(cutmix=1.0), Augment(mixup=0.8, cutmix=1.0)])
def test_mixing_gives_bytes_and_soft_labels(augment):
    mixed = [make_batch() for _ in range(8)]
    mixer = Photometry(augment, ("image", "class"), CLASSES)
    for number, batch in enumerate(mixed):
        mixer.mix(batch, 0, 0, number, 0)
        assert batch["image"].dtype == torch.uint8
        assert type(batch["image"]) is torch.Tensor
        assert batch["image"].shape == (6, 3, 24, 32)
        assert batch["class"].dtype == torch.float32
        assert batch["class"].shape == (6, 5)
        torch.testing.assert_close(batch["class"].sum(1), torch.ones(6))
    assert any((batch["image"] != make_batch()["image"]).any() for batch in mixed)
    assert not torch.equal(mixed[0]["class"], mixed[1]["class"]), "each batch has its own numbers"


def test_mixup_mixes_pixels_as_it_mixes_labels():
    batch, before = make_batch(), make_batch()
    Photometry(Augment(mixup=1.0), ("image", "class"), CLASSES).mix(batch, 0, 0, 0, 0)
    ratio = batch["class"][1, 1].item()  # class 1 with the class 0 before it
    expected = ratio * before["image"].float() + (1 - ratio) * before["image"].float().roll(1, 0)
    assert 0.02 < ratio < 0.98
    assert (batch["image"].float() - expected).abs().max() <= 0.51


def test_cutmix_takes_the_share_of_pixels_that_the_label_says():
    batch, before = make_batch(), make_batch()
    Photometry(Augment(cutmix=1.0), ("image", "class"), CLASSES).mix(batch, 0, 0, 1, 0)
    kept = (batch["image"] == before["image"]).all(1)[1].float().mean().item()
    assert batch["class"][1, 1].item() == pytest.approx(kept, abs=0.02)


def test_ranks_and_batches_mix_by_their_own_numbers():
    labels = set()
    for key in ((0, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (0, 1, 0, 0), (1, 0, 0, 0)):
        batch = make_batch()
        Photometry(Augment(mixup=1.0), ("image", "class"), CLASSES).mix(batch, *key)
        labels.add(batch["class"][1, 1].item())
    assert len(labels) == 5


def test_torchs_generator_goes_on_as_if_nothing_had_happened():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    photometry = Photometry(Augment(mixup=1.0, **COLOURS), ("image", "class"), CLASSES)
    batch = make_batch()
    photometry.change(batch, 0, 0, INDICES)
    photometry.mix(batch, 0, 0, 0, 0)
    assert torch.equal(torch.rand(4), expected)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_what_cannot_be_mixed_is_refused(name):
    augment = Augment(**{name: 1.0})
    with pytest.raises(
        ValueError, match=rf"data.augment.{name}: it can mix an image and its class, this task reads im"
    ):
        Photometry(augment, ("image", "segmentation"), CLASSES)
    with pytest.raises(
        ValueError, match=rf"data.augment.{name}: the data set names no classes; set data.augment.{name}"
    ):
        Photometry(augment, ("image", "class"), {})


def test_it_can_be_sent_to_workers():
    photometry = Photometry(Augment(mixup=1.0, **COLOURS), ("image", "class"), CLASSES)
    batch, again = make_batch(), make_batch()
    photometry.change(batch, 0, 0, INDICES)
    pickle.loads(pickle.dumps(photometry)).change(again, 0, 0, INDICES)
    assert torch.equal(batch["image"], again["image"])
