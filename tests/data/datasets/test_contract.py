"""What every dataset file promises; one that is added is tested here."""

from __future__ import annotations

import pickle
import re

import numpy as np
import pytest
import torch

from xvision.data.dataset import DataError, Dataset
from xvision.data.datasets import dataset
from xvision.data.loader import Loader
from xvision.data.settings import Augment, Data
from xvision.fields import FIELDS


def build(name: str) -> Dataset:
    """The set with its default settings; without its files it must say what it looked for."""
    problem = ""
    try:
        made: Dataset = dataset.part(name).build()
    except ValueError as error:
        problem = str(error)
    if problem:
        assert re.match(r"data.root: expected .*; (looked for|set data.root=DIR)", problem), problem
        pytest.skip("its files are not here")
    return made


@pytest.mark.parametrize("name", dataset.builders())
def test_samples_are_as_the_table_of_fields_says(name):
    made = build(name)
    assert made.name == name
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


@pytest.mark.parametrize("name", dataset.builders())
def test_samples_and_digests_are_the_same_in_another_process(name):
    made = build(name)
    assert len({split.digest() for split in made.splits.values()}) == len(made.splits)
    for split in made.splits.values():
        assert re.fullmatch("[0-9a-f]{64}", split.digest())
        again = pickle.loads(pickle.dumps(split))
        assert again.digest() == split.digest()
        for field, value in split.load(0).items():
            np.testing.assert_array_equal(again.load(0)[field], value)


@pytest.mark.parametrize("name", dataset.builders())
def test_a_loader_takes_it(name):
    made = build(name)
    some = made.splits.get("train", made.splits["val"]).take(range(6))
    data = Data(dataset=name, size=(48, 64), augment=Augment(zoom=(0.8, 1.6), rotate_deg=5, contrast=0.2))
    batch = next(Loader(some, made.fields, data, batch_size=6, train=True, seed=0).epoch(0))
    assert batch["image"].shape == (6, 3, 48, 64)
    assert all(isinstance(batch[field], torch.Tensor) and len(batch[field]) == 6 for field in made.fields)


def test_an_error_of_the_data_has_its_exit_code():
    assert DataError.exit_code == 3
