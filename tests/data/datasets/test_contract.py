"""What every dataset file promises; one that is added is tested here."""

from __future__ import annotations

import importlib
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from xvision.data.dataset import DataError, Dataset
from xvision.data.datasets import dataset
from xvision.data.detect import detect
from xvision.data.framing import Framing
from xvision.data.loader import Loader
from xvision.data.settings import Augment, Data
from xvision.fields import FIELDS

STORED = [name for name, builder in dataset.builders().items() if "root" in builder.settings]
CASES = [
    (name, form)
    for name in dataset.builders()
    for form in ("default", "miniature")
    if form == "default" or name in STORED
]


@pytest.fixture
def made(request: pytest.FixtureRequest, miniature: Callable[[str], Path]) -> Dataset:
    """The set with its default settings, which without its files says what it looked for, or a miniature of it."""
    name, form = request.param
    if form == "miniature":
        small: Dataset = dataset.part(name, {"root": str(miniature(name))}).build()
        return small
    return build(name)


def build(name: str) -> Dataset:
    problem = ""
    try:
        made: Dataset = dataset.part(name).build()
    except ValueError as error:
        problem = str(error)
    if problem:
        assert name in STORED, problem
        assert re.match(r"data.root: expected .*; (looked for|set data.root=DIR)", problem), problem
        pytest.skip("its files are not here")
    return made


@pytest.mark.parametrize("made", CASES, indirect=True, ids="-".join)
def test_samples_are_as_the_table_of_fields_says(made):
    assert made.name in dataset.builders()
    assert set(made.fields) <= set(FIELDS)
    assert set(made.classes) <= set(made.fields)
    assert {"train", "val"} & set(made.splits)
    for split in made.splits.values():
        assert len(split) > 0
        assert len(set(split.names)) == len(split)
        sample = split.load(len(split) - 1)
        assert set(sample) == set(made.fields)
        for field, value in sample.items():
            assert value.dtype == FIELDS[field].dtype
            assert value.ndim == len(FIELDS[field].dims)
        if "class" in made.classes:
            assert 0 <= int(sample["class"]) < len(made.classes["class"])
        if "segmentation" in made.classes:
            assert set(np.unique(sample["segmentation"])) <= {*range(len(made.classes["segmentation"])), 255}
        if "motion" in sample:
            assert set(np.unique(sample["motion"])) <= {0, 1, 255}


@pytest.mark.parametrize("made", CASES, indirect=True, ids="-".join)
def test_samples_and_digests_are_the_same_in_another_process(made):
    assert len({split.digest() for split in made.splits.values()}) == len(made.splits)
    for split in made.splits.values():
        assert re.fullmatch("[0-9a-f]{64}", split.digest())
        again = pickle.loads(pickle.dumps(split))
        assert again.digest() == split.digest()
        for field, value in split.load(0).items():
            np.testing.assert_array_equal(again.load(0)[field], value)


@pytest.mark.parametrize("made", CASES, indirect=True, ids="-".join)
def test_a_loader_takes_it(made):
    some = made.splits.get("train", made.splits["val"])
    some = some.take(range(min(6, len(some))))
    data = Data(
        dataset=made.name, size=(48, 64), augment=Augment(zoom=(0.8, 1.6), rotate_deg=5, contrast=0.2)
    )
    batch = next(
        Loader(
            some, made.fields, data, batch_size=len(some), train=True, seed=0, framing=Framing("crop")
        ).epoch(0)
    )
    assert batch["image"].shape == (len(some), 3, 48, 64)
    assert all(
        isinstance(batch[field], torch.Tensor) and len(batch[field]) == len(some) for field in made.fields
    )


@pytest.mark.parametrize("name", [name for name in STORED if name != "auto"])  # auto asks the others
def test_a_miniature_is_recognised_as_no_other_set(name, miniature):
    root = miniature(name)
    module = importlib.import_module(dataset.builder(name).module)
    if hasattr(module, "detect"):
        assert detect(str(root)).name == name
    else:
        with pytest.raises(ValueError, match=r"no data set was recognised in it|it could be"):
            detect(str(root))


def test_an_error_of_the_data_has_its_exit_code():
    assert DataError.exit_code == 3
