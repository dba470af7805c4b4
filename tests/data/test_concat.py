"""Several data sets as one: who gives what, in which order, and what stands where a label is missing."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from xvision.data.concat import check_labels, join, open_data
from xvision.data.dataset import DataError, Dataset, Sample, Split
from xvision.data.flow import split_for
from xvision.data.framing import Framing
from xvision.data.loader import Loader, calibration_batches
from xvision.data.settings import Data

STREET, ROOM = ("road", "sky"), ("wall", "bed", "lamp")
NEEDS = {"segmentation": ("segmentation",), "depth": ("depth",)}


@dataclass(frozen=True)
class Flat:
    """Samples of one value each: what they are is told from any pixel."""

    names: tuple[str, ...]
    labels: tuple[str, ...]
    size: tuple[int, int]

    def load(self, i: int) -> Sample:
        made: Sample = {"image": np.full((*self.size, 3), 10 * len(self.names) + i, np.uint8)}
        if "segmentation" in self.labels:
            made["segmentation"] = np.full(self.size, i % 2, np.uint8)
        if "depth" in self.labels:
            made["depth"] = np.full(self.size, 1 + i, np.float32)
        if "class" in self.labels:
            made["class"] = np.asarray(i % 2, np.int64)
        if "boxes" in self.labels:
            made["boxes"] = np.full((1, 5), i, np.float32)
        return made

    def digest(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()


def flat(
    name: str, num: int, labels: tuple[str, ...], *, size: tuple[int, int] = (12, 16), val: int = 2,
    classes: tuple[str, ...] = STREET,
) -> Dataset:  # fmt: skip
    def split(count: int) -> Split:
        source = Flat(tuple(f"{name}{i}" for i in range(count)), labels, size)
        return Split(source.names, source.load, source.digest)

    named = {label: classes for label in labels if label in ("segmentation", "class")}
    return Dataset(name, ("image", *labels), named, {"train": split(num), "val": split(val)})


def frames(num: int) -> Split:
    """Pairs of frames of noise."""

    def load(i: int) -> Sample:
        pair = np.random.default_rng(i).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
        return {"image": pair[1], "previous": pair[0], "motion": np.zeros((16, 16), np.uint8)}

    return Split(tuple(f"f{i}" for i in range(num)), load, str)


@pytest.fixture
def sets() -> dict[str, Dataset]:
    return {
        "street": flat("street", 5, ("segmentation",)),
        "room": flat("room", 2, ("depth",), size=(20, 14), val=3),
    }


def data(**changes) -> Data:
    return Data(dataset="image_folder", size=(8, 8), **{"cache": False, "augment": {"hflip": 0}, **changes})


def load(split: Split, fields=("image", "segmentation", "depth"), settings: Data | None = None, **options):
    options = {"batch_size": len(split), "train": False, "seed": 0, "framing": Framing("crop"), **options}
    return Loader(split, fields, settings or data(), **options)


# ------------------------------------------------------------------------------------------------------ joining


def test_samples_come_one_set_after_the_other(sets: dict[str, Dataset]) -> None:
    both = join(sets)
    assert both.name == "street+room"
    assert both.fields == ("image", "segmentation", "depth")
    assert both.classes == {"segmentation": STREET}
    train = both.splits["train"]
    assert train.names == (*(f"street: street{i}" for i in range(5)), "room: room0", "room: room1")
    assert [sorted(train.load(i)) for i in (4, 5)] == [["image", "segmentation"], ["depth", "image"]]
    assert [train.load(i)["depth"][0, 0] for i in (5, 6)] == [1, 2]
    assert list(train.parts) == ["street", "room"]
    assert [part.fields for part in train.parts.values()] == [("image", "segmentation"), ("image", "depth")]
    assert (train.classes, train.fields) == (both.classes, both.fields)
    assert pickle.loads(pickle.dumps(train)).load(6)["depth"][0, 0] == 2


def test_equal_draws_repeat_smaller_sets_in_training_alone(sets: dict[str, Dataset]) -> None:
    both = join(sets | {"none": flat("none", 0, ("depth",), val=0)}, equal=True)
    train, val = both.splits["train"], both.splits["val"]
    assert [len(train), len(val)] == [10, 5]
    assert train.names[5:] == ("room: room0", "room: room1", "room: room0", "room: room1", "room: room0")
    assert [train.load(i)["depth"][0, 0] for i in range(5, 10)] == [1, 2, 1, 2, 1]


def test_a_set_without_a_split_is_not_in_it(sets: dict[str, Dataset]) -> None:
    room = sets["room"]
    only_train = Dataset(room.name, room.fields, room.classes, {"train": room.splits["train"]})
    both = join({**sets, "room": only_train})
    assert len(both.splits["val"]) == 2
    assert list(both.splits["val"].parts) == ["street"]


def test_the_digest_says_what_is_drawn_from_what(sets: dict[str, Dataset]) -> None:
    one = join(sets).splits["train"].digest()
    assert len(one) == 64
    assert join(sets).splits["train"].digest() == one
    other_order = join(dict(reversed(sets.items())))
    equal = join(sets, equal=True)
    larger = join(sets | {"room": flat("room", 3, ("depth",))})
    assert len({one, *(d.splits["train"].digest() for d in (other_order, equal, larger))}) == 4
    assert equal.splits["val"].digest() == join(sets).splits["val"].digest()


def test_sets_that_name_classes_differently_do_not_mix(sets: dict[str, Dataset]) -> None:
    other = flat("other", 2, ("segmentation", "depth"), classes=ROOM)
    with pytest.raises(
        ValueError,
        match=r"data.dataset: street and other have different classes of 'segmentation'; take it from one of them, for "
        r"example data.labels=street:segmentation,other:…",
    ):
        join(sets | {"other": other})
    same = flat("other", 2, ("segmentation",))
    assert join(sets | {"other": same}).classes == {"segmentation": STREET}


# -------------------------------------------------------------------------------------------- labels of drawn scenes


def scenes(**changes) -> Data:
    part = {"scenes": {"num_train": 3, "num_val": 2, "size": "32x32"}}
    return Data(**{"dataset": part, "size": (32, 32), "cache": False, **changes})


def test_labels_say_what_is_learned_from_a_set() -> None:
    plain, restricted = (open_data(scenes(labels=labels)) for labels in ((), ("scenes:depth",)))
    assert {"segmentation", "depth", "class"} <= set(plain.fields)
    assert "depth" in restricted.fields
    assert "image" in restricted.fields
    assert not {"segmentation", "class"} & set(restricted.fields)
    assert restricted.classes == {}
    assert restricted.splits["train"].fields == restricted.fields


def test_wrong_labels_are_all_named() -> None:
    with pytest.raises(ValueError, match=r"data\.labels") as caught:
        open_data(scenes(labels=("scene:depth", "scenes:deph", "scenes")))
    text = str(caught.value)
    assert (
        "data.labels: 'scene:depth': no data set of this recipe is called 'scene'; did you mean 'scenes'?"
        in text
    )
    assert "data.labels: 'scenes:deph': scenes has no field 'deph'; did you mean 'depth'?" in text
    assert "data.labels: 'scenes': scenes has no field ''" in text


# ------------------------------------------------------------------------------------------------------ what is read


def test_a_split_has_the_labels_of_every_task(sets: dict[str, Dataset]) -> None:
    both = join(sets)
    check_labels(both, "val", NEEDS)
    with pytest.raises(DataError, match=r"street\+room: expected a split 'test', has train, val; it is what"):
        check_labels(both, "test", NEEDS, "it is what metrics are measured on")
    with pytest.raises(
        DataError, match="segmentation needs the label segmentation, room gives image, depth; choose"
    ):
        check_labels(sets["room"], "train", NEEDS)


def test_everything_that_a_split_lacks_is_named(sets: dict[str, Dataset]) -> None:
    needs = {"segmentation": ("segmentation",), "motion": ("motion", "depth")}
    with pytest.raises(DataError) as caught:
        check_labels(join(sets), "train", needs)
    assert str(caught.value) == (
        "street+room, split 'train': motion needs the label motion and depth, street gives image, segmentation, room "
        "gives image, depth; expected labels of segmentation or motion, room gives image, depth; choose other tasks, "
        "data sets or data.labels"
    )


def test_flow_is_estimated_set_by_set() -> None:
    fields = ("image", "previous", "motion")
    sets = {name: Dataset(name, fields, {}, {"train": frames(num)}) for name, num in (("a", 3), ("b", 1))}
    both = join(sets, equal=True)
    split = split_for(both, "train", ("image", "flow"))
    assert [sorted(split.load(i)) for i in (0, 5)] == [
        ["confidence", "flow", "image", "motion", "previous"]
    ] * 2
    assert split.names[3:] == ("b: f0", "b: f0", "b: f0")
    (batch,) = load(split, ("image", "flow", "motion")).epoch(0)
    assert "labelled" not in batch
    assert batch["flow"].shape == (6, 2, 8, 8)


# ----------------------------------------------------------------------------------------------------------- batches


@pytest.mark.parametrize("cache", [True, False])
def test_a_training_batch_says_who_is_labelled_and_fills_the_rest(
    sets: dict[str, Dataset], cache: bool
) -> None:
    (batch,) = load(join(sets).splits["train"], train=True, settings=data(cache=cache)).epoch(0)
    has_depth = [name.startswith("room") for name in batch["name"]]
    assert batch["labelled"] == {"segmentation": [not has for has in has_depth], "depth": has_depth}
    assert batch["segmentation"].shape == batch["depth"].shape == (7, 8, 8)
    assert (batch["segmentation"].dtype, batch["depth"].dtype) == (torch.uint8, torch.float32)
    assert (batch["segmentation"][has_depth] == 255).all()
    assert (batch["depth"][[not has for has in has_depth]] == 0).all()
    assert (batch["depth"][has_depth] > 0).all()


def test_a_batch_of_one_set_lacks_the_others_labels(sets: dict[str, Dataset]) -> None:
    first, _ = load(join(sets).splits["train"], batch_size=5).epoch(0)
    assert first["labelled"] == {"depth": [False] * 5}
    assert first["depth"].shape == (5, 8, 8)
    assert not first["depth"].any()


def test_a_batch_with_all_labels_says_nothing(sets: dict[str, Dataset]) -> None:
    (batch,) = load(sets["room"].splits["train"], ("image", "depth")).epoch(0)
    assert "labelled" not in batch


def test_classes_and_objects_that_a_sample_lacks() -> None:
    both = join({"a": flat("a", 2, ("class",)), "b": flat("b", 2, ("boxes",))})
    (batch,) = load(both.splits["train"], ("image", "class", "boxes")).epoch(0)
    assert batch["class"].tolist() == [0, 1, -1, -1]
    assert batch["boxes"].shape == (4, 1, 5)
    assert (batch["boxes"][:2] == -1).all()
    assert batch["labelled"] == {"class": [True, True, False, False], "boxes": [False, False, True, True]}


@pytest.mark.parametrize("cache", [True, False])
def test_validation_keeps_the_size_of_labels_that_are_there(sets: dict[str, Dataset], cache: bool) -> None:
    loader = load(
        join(sets).splits["val"],
        settings=data(cache=cache),
        framing=Framing("stretch"),
        native_size=("segmentation", "depth"),
    )
    (batch,) = loader.epoch(0)
    assert batch["image"].shape == (5, 3, 8, 8)
    assert [tuple(label.shape) for label in batch["segmentation"]] == [(12, 16)] * 2 + [(1, 1)] * 3
    assert [tuple(label.shape) for label in batch["depth"]] == [(1, 1)] * 2 + [(20, 14)] * 3
    assert batch["segmentation"][2].item() == 255
    assert batch["labelled"] == {"segmentation": [True] * 2 + [False] * 3, "depth": [False] * 2 + [True] * 3}


def test_workers_give_the_same_batches(sets: dict[str, Dataset]) -> None:
    split = join(sets, equal=True).splits["train"]
    own, theirs = (list(load(split, batch_size=4, train=True, workers=n).epoch(1)) for n in (0, 1))
    for one, other in zip(own, theirs, strict=True):
        assert (one["name"], one["labelled"]) == (other["name"], other["labelled"])
        assert torch.equal(one["depth"], other["depth"])


def test_each_set_is_cached_once_however_it_is_drawn(sets: dict[str, Dataset], own_cache: Path) -> None:
    for equal in (False, True):
        load(join(sets, equal=equal).splits["train"], settings=data(cache=True))
    load(sets["room"].splits["train"], ("image", "depth"), settings=data(cache=True))
    kept = sorted(
        sorted(f.name for f in folder.iterdir() if f.is_dir())
        for folder in (own_cache / "samples").iterdir()
        if folder.is_dir()
    )
    assert kept == [["depth", "image"], ["image", "segmentation"]]


def test_calibration_draws_from_all_sets(sets: dict[str, Dataset]) -> None:
    batches = calibration_batches(
        join(sets).splits["train"],
        ("image",),
        data(),
        num_samples=7,
        batch_size=7,
        seed=0,
        framing=Framing("crop"),
    )
    (batch,) = batches
    assert {name.split(":")[0] for name in batch["name"]} == {"street", "room"}
    assert "labelled" not in batch


def test_what_is_wrong_with_one_of_several_names_its_own_setting(tmp_path: Path) -> None:
    gone = str(tmp_path / "gone")
    sets = {"scenes": {}, "image_mask_folder": {"root": gone}}
    with pytest.raises(
        DataError, match=rf"^data.image_mask_folder.root: .*{gone}.* Set data.image_mask_folder.root to"
    ):
        open_data(Data(dataset=sets, size=(8, 8)))
    with pytest.raises(DataError, match=rf"^data.root: .*{gone}.* Set data.root to"):
        open_data(Data(dataset={"image_mask_folder": {"root": gone}}, size=(8, 8)))
