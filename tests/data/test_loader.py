"""Batches: the right samples, once, the same for any number of workers."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from xvision.data.cache import prepared
from xvision.data.framing import Framing
from xvision.data.geometry import warp
from xvision.data.loader import Loader, calibration_batches
from xvision.data.settings import Augment, Data
from xvision.fields import FIELDS
from xvision.train.hardware import pins_memory

ALL = tuple(FIELDS)
BUSY = Augment(
    zoom=(0.7, 1.5), aspect=1.2, shift=0.1, rotate_deg=10, brightness=0.3, hue=0.1, randaugment=1, erasing=0.3
)


def data(augment: Augment | None = None, **changes) -> Data:
    return Data(dataset="image_folder", size=(16, 16), augment=augment or Augment(), **changes)


def load(split, fields=("image", "class"), settings=None, **options) -> Loader:
    options = {"batch_size": 8, "train": True, "seed": 0, "framing": Framing("crop"), **options}
    return Loader(split, fields, settings or data(), **options)


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
        for key, value in one.items()
    )


def test_a_batch_holds_every_field_as_a_tensor(make_split):
    batch = next(load(make_split(20), ALL).epoch(0))
    shapes = {key: tuple(value.shape) for key, value in batch.items() if key != "name"}
    assert shapes == {
        "image": (8, 3, 16, 16), "previous": (8, 3, 16, 16), "flow": (8, 2, 16, 16), "confidence": (8, 16, 16),
        "class": (8,), "segmentation": (8, 16, 16), "depth": (8, 16, 16), "motion": (8, 16, 16), "boxes": (8, 3, 5),
        "keypoints": (8, 3, 17, 3), "index": (8,),
    }  # fmt: skip
    assert all(batch[name].numpy().dtype == field.dtype for name, field in FIELDS.items())
    assert batch["index"].dtype == torch.int64
    assert batch["name"] == [f"drawn {i}" for i in batch["index"].tolist()]


def test_missing_objects_are_rows_of_minus_one(make_split):
    batch = next(load(make_split(3), ALL, train=False).epoch(0))
    assert [(batch["boxes"][i, :, 4] >= 0).sum().item() for i in range(3)] == [1, 2, 3]
    assert (batch["keypoints"][0, 1:] == -1).all()


@pytest.mark.parametrize("cache", [True, False])
def test_validation_gives_every_sample_once_in_order(make_split, cache):
    split = make_split(19)
    batches = list(load(split, train=False, settings=data(cache=cache)).epoch(0))
    assert [len(batch["name"]) for batch in batches] == [8, 8, 3]
    assert torch.cat([batch["index"] for batch in batches]).tolist() == list(range(19))
    expected = warp("image", split.load(9)["image"], Framing("crop").map((20, 24), (16, 16)))
    assert torch.equal(batches[1]["image"][1], torch.from_numpy(expected).permute(2, 0, 1))
    assert batches[1]["class"][1] == 9 % 4


def test_crop_ratio_crops_the_centre_in_validation_only(make_split):
    split, plain = make_split(4), data(Augment(hflip=0))
    near, far = (
        {
            train: next(load(split, train=train, settings=plain, framing=framing).epoch(0))
            for train in (True, False)
        }
        for framing in (Framing("crop", 0.5), Framing("crop"))
    )
    assert not torch.equal(near[False]["image"], far[False]["image"])
    assert torch.equal(near[True]["image"], far[True]["image"])


@pytest.mark.parametrize(
    "augment", [{"hflip": 0.5}, {"hflip": 0, "shift": 0.5}, {"hflip": 0, "zoom": (1.0, 2.0)}], ids=str
)
def test_every_epoch_places_a_sample_anew(make_split, augment):
    loader = load(make_split(4), settings=data(Augment(**augment)), batch_size=4)
    epochs = [next(loader.epoch(e)) for e in range(8)]
    first = [batch["image"][batch["index"].tolist().index(0)] for batch in epochs]
    assert not all(torch.equal(image, first[0]) for image in first)
    again = next(loader.epoch(3))
    assert torch.equal(again["image"][again["index"].tolist().index(0)], first[3])


def test_training_drops_the_last_part_and_reorders_every_epoch(make_split):
    loader = load(make_split(20))
    epochs = [[batch["index"] for batch in loader.epoch(e)] for e in (0, 1)]
    assert len(loader) == 2
    assert loader.num_samples == 20
    for batches in epochs:
        assert [len(indices) for indices in batches] == [8, 8]
        assert len(torch.cat(batches).unique()) == 16
    assert not torch.equal(epochs[0][0], epochs[1][0])


def test_a_set_smaller_than_a_batch_is_one_batch(make_split):
    (batch,) = load(make_split(5)).epoch(0)
    assert sorted(batch["index"].tolist()) == [0, 1, 2, 3, 4]
    halves = [next(load(make_split(5), rank=r, world=2).epoch(0))["index"].tolist() for r in (0, 1)]
    assert sorted(halves[0] + halves[1]) == [0, 1, 2, 3, 4]


def test_ranks_share_the_global_batch_of_one_process(make_split):
    split = make_split(50)
    whole = [batch["index"].tolist() for batch in load(split, batch_size=8).epoch(2)]
    parts = [
        [b["index"].tolist() for b in load(split, batch_size=4, rank=r, world=2).epoch(2)] for r in (0, 1)
    ]
    assert whole == [one + two for one, two in zip(*parts, strict=True)]


@pytest.mark.parametrize(("count", "world"), [(19, 2), (19, 3), (2, 3)])
def test_ranks_validate_every_sample_once(make_split, count, world):
    loaders = [load(make_split(count), train=False, rank=rank, world=world) for rank in range(world)]
    epochs = [list(loader.epoch(0)) for loader in loaders]
    assert [len(loader) for loader in loaders] == [len(batches) for batches in epochs]
    indices = [batch["index"] for batches in epochs for batch in batches]
    assert sorted(torch.cat(indices).tolist()) == list(range(count))


def test_too_few_samples_for_the_processes_are_refused(make_split):
    with pytest.raises(
        ValueError, match=r"data: expected at least one training sample for each of 3 processes, got 2; u"
    ):
        load(make_split(2), rank=0, world=3)


@pytest.mark.parametrize("cache", [True, False])
def test_batches_do_not_depend_on_workers_or_the_cache(make_split, cache):
    """Also after the main process has used OpenCV's threads, which a fork does not survive."""
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (9, 9), 3)
    split = make_split(60, size=(48, 40))
    expected = [list(load(split, ALL, data(BUSY)).epoch(e)) for e in (0, 1)]
    for workers in (1, 2):
        loader = load(split, ALL, data(BUSY, cache=cache), workers=workers)
        for epoch in (0, 1):
            batches = list(loader.epoch(epoch))
            assert len(batches) == 7
            assert all(same(*pair) for pair in zip(batches, expected[epoch], strict=True))


def test_workers_are_not_hit_by_a_signal_to_the_group_and_opencv_keeps_its_threads(make_split):
    threads = cv2.getNumThreads()
    loader = load(make_split(40), workers=1)
    next(loader.epoch(0))
    workers = multiprocessing.active_children()
    assert workers
    assert all(os.getpgid(worker.pid) == worker.pid for worker in workers)
    assert cv2.getNumThreads() == threads


def test_mixing_does_not_depend_on_workers(make_split):
    settings = data(Augment(mixup=0.5, cutmix=0.5))
    plain, parallel = (list(load(make_split(40), settings=settings, workers=w).epoch(0)) for w in (0, 2))
    assert all(same(*pair) for pair in zip(plain, parallel, strict=True))
    assert plain[0]["class"].shape == (8, 4)
    assert plain[0]["class"].dtype == torch.float32


@pytest.mark.parametrize("workers", [0, 1])
def test_a_resume_goes_on_with_the_same_batches_and_decodes_no_others(make_split, workers):
    split, decoded = make_split(40), []
    whole = list(load(split, settings=data(BUSY)).epoch(3))

    def note(i: int):
        decoded.append(i)
        return split.load(i)

    resumed = load(replace(split, load=note), settings=data(BUSY, cache=False), workers=workers)
    rest = list(resumed.epoch(3, start_batch=3))
    assert all(same(*pair) for pair in zip(rest, whole[3:], strict=True))
    assert workers or sorted(decoded) == sorted(torch.cat([batch["index"] for batch in rest]).tolist())
    assert list(resumed.epoch(3, start_batch=5)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_that_was_left_early_does_not_disturb_the_next(make_split, workers):
    loader = load(make_split(64), workers=workers)
    assert next(loader.epoch(0))["index"].tolist() == next(load(make_split(64)).epoch(0))["index"].tolist()
    assert all(same(*pair) for pair in zip(loader.epoch(1), load(make_split(64)).epoch(1), strict=True))


def test_seeds_epochs_and_samples_have_their_own_augmentation(make_split):
    split = make_split(8)
    alike = replace(split, load=lambda i: split.load(0))
    settings = data(BUSY, cache=False)
    drawn = [
        next(load(alike, settings=settings, seed=s).epoch(e))["image"] for s, e in ((0, 0), (1, 0), (0, 1))
    ]
    assert len(torch.cat(drawn).flatten(1).unique(dim=0)) == 24


@pytest.mark.parametrize("workers", [0, 1])
def test_loading_leaves_torchs_generator_alone(make_split, workers):
    """Also torch's DataLoader, which draws a seed for its workers: dropout must not depend on their number."""
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    loader = load(make_split(16), settings=data(BUSY.model_copy(update={"mixup": 1.0})), workers=workers)
    for epoch in range(2):
        list(loader.epoch(epoch))
    assert torch.equal(torch.rand(3), expected)


def broken(i: int):
    raise ValueError(f"photo{i}.jpg: broken")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_sample_is_named_without_a_workers_traceback(make_split, workers):
    loader = load(
        replace(make_split(9), load=broken), settings=data(cache=False), train=False, workers=workers
    )
    with pytest.raises(ValueError, match=r"^photo0.jpg: broken$"):
        next(loader.epoch(0))
    with pytest.raises(ValueError, match=r"9 of 9 samples cannot be used:\n  photo0.jpg: broken"):
        load(replace(make_split(9), load=broken, digest=lambda: "broken"))


def test_settings_that_cannot_be_met_are_refused_at_once(make_split):
    with pytest.raises(
        ValueError, match=r"data.augment.mixup: it can mix an image and its class, this task reads image,"
    ):
        load(make_split(9), ("image", "depth"), data(Augment(mixup=1.0)))
    load(make_split(9), ("image", "depth"), data(Augment(mixup=1.0)), train=False)


def test_images_lie_in_memory_as_convolutions_like_them(make_split):
    for settings in (data(), data(Augment(mixup=1.0))):
        image = next(load(make_split(9), settings=settings).epoch(0))["image"]
        assert image.is_contiguous(memory_format=torch.channels_last)


def test_what_workers_need_can_be_sent_to_them(make_split):
    loader = load(make_split(30), ALL, data(BUSY))
    again = pickle.loads(pickle.dumps(loader._batches))
    job = next(iter(loader._jobs(0, lambda number: (16, 16))))
    assert same(again[job], loader._batches[job])


def test_calibration_sees_samples_from_all_over_the_split_as_validation_does(make_split):
    split, settings = make_split(100), data(BUSY)
    batches = list(
        calibration_batches(
            split, ("image", "class"), settings, num_samples=20, batch_size=8, seed=1, framing=Framing("crop")
        )
    )
    names = [name for batch in batches for name in batch["name"]]
    assert [len(batch["name"]) for batch in batches] == [8, 8, 4]
    assert len(set(names)) == 20
    assert max(int(name.split()[1]) for name in names) > 80
    first = int(names[0].split()[1])
    expected = warp(
        "image",
        prepared(split, ("image",), (16, 16)).load(first)["image"],
        Framing("crop").map((20, 24), (16, 16)),
    )
    assert torch.equal(batches[0]["image"][0], torch.from_numpy(expected).permute(2, 0, 1))
    again = calibration_batches(
        split, ("image", "class"), settings, num_samples=20, batch_size=8, seed=1, framing=Framing("crop")
    )
    assert same(next(again), batches[0])
    other = calibration_batches(
        split, ("image", "class"), settings, num_samples=200, batch_size=8, seed=2, framing=Framing("crop")
    )
    assert sum(len(batch["name"]) for batch in other) == 100


@pytest.mark.skipif(not pins_memory(), reason="needs an accelerator that copies from pinned memory")
@pytest.mark.parametrize("workers", [0, 1])
def test_batches_for_an_accelerator_are_pinned_and_the_same(make_split, workers):
    split = make_split(16)
    plain = next(load(split, ALL).epoch(0))
    pinned = next(load(split, ALL, workers=workers, pin_memory=True).epoch(0))
    assert same(plain, pinned)
    assert all(value.is_pinned() for value in pinned.values() if isinstance(value, torch.Tensor))
    assert pinned["image"].stride() == plain["image"].stride()
