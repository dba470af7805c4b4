"""What a data set is."""

from __future__ import annotations

from xvision.data.dataset import Dataset


def test_splits_know_the_classes_of_their_set(make_split):
    classes = {"class": ("cat", "dog")}
    made = Dataset("pets", ("image", "class"), classes, {"train": make_split(3)})
    assert made.splits["train"].classes == classes


def test_a_part_of_a_split_is_its_samples_in_the_given_order(make_split):
    whole = make_split(6)
    part = whole.take([4, 1])
    assert part.names == ("drawn 4", "drawn 1")
    assert (part.load(0)["image"] == whole.load(4)["image"]).all()
    assert part.take([1]).names == ("drawn 1",)


def test_the_digest_of_a_part_depends_on_what_was_taken(make_split):
    whole = make_split(6)
    digests = {
        part.digest() for part in (whole, whole.take([0, 1]), whole.take([1, 0]), make_split(6, seed=1))
    }
    assert len(digests) == 4
