"""Decoded once, shared by all, never half-written."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from xvision.data.cache import cached, prepared
from xvision.data.dataset import Split
from xvision.fields import FIELDS

ALL = tuple(FIELDS)


def folders(own_cache) -> list[str]:
    return sorted(path.name for path in (own_cache / "samples").iterdir() if path.is_dir())


@pytest.mark.parametrize("size", [(20, 24), (5, 6), (8, 3)])
def test_what_is_read_is_what_was_decoded(make_split, own_cache, size):
    split = make_split(9)
    kept, expected = cached(split, ALL, size), prepared(split, ALL, size)
    for i in range(9):
        for name, value in expected.load(i).items():
            read = kept.load(i)[name]
            assert read.dtype == value.dtype
            np.testing.assert_array_equal(read, value)


def test_samples_are_views_of_one_map(make_split, own_cache):
    kept = cached(make_split(3), ("image", "depth", "class"), (20, 24))
    first, again = kept.load(1), kept.load(1)
    assert np.shares_memory(first["image"], again["image"])
    assert not first["image"].flags.writeable
    assert first["depth"].flags.aligned


def test_samples_of_different_sizes_share_a_file(own_cache):
    def load(i: int):
        return {"image": np.full((3 + i, 5, 3), i, np.uint8), "class": np.asarray(i, np.int64)}

    kept = cached(Split(tuple("abcd"), load, lambda: "sizes"), ("image", "class"), (8, 8))
    assert [kept.load(i)["image"].shape for i in range(4)] == [(3 + i, 5, 3) for i in range(4)]
    assert [int(kept.load(i)["image"].max()) for i in range(4)] == [0, 1, 2, 3]


def test_every_sample_is_decoded_once(make_split, own_cache):
    split, decoded = make_split(5), []

    def load(i: int):
        decoded.append(i)
        return split.load(i)

    for _ in range(3):
        cached(replace(split, load=load), ("image",), (20, 24)).load(2)
    assert sorted(decoded) == [0, 1, 2, 3, 4]


def test_content_and_size_have_their_own_cache(make_split, own_cache):
    for count in (1, 1):
        cached(make_split(3), ("image",), (20, 24))
        assert len(folders(own_cache)) == count
    cached(make_split(3, seed=1), ("image",), (20, 24))
    cached(make_split(4), ("image",), (20, 24))
    cached(make_split(3), ("image",), (20, 25))
    assert len(folders(own_cache)) == 4


def test_fields_are_added_and_shared(make_split, own_cache):
    split, decoded = make_split(5), []

    def load(i: int):
        decoded.append(i)
        return split.load(i)

    counted = replace(split, load=load)
    cached(counted, ("image", "class"), (20, 24))
    cached(counted, ("image",), (20, 24))
    assert len(decoded) == 5
    both = cached(counted, ("image", "depth"), (20, 24))
    assert len(decoded) == 10
    for i in range(5):
        np.testing.assert_array_equal(both.load(i)["depth"], split.load(i)["depth"])
        np.testing.assert_array_equal(both.load(i)["image"], split.load(i)["image"])
    assert len(folders(own_cache)) == 1


def test_samples_are_kept_at_most_twice_as_large_as_needed(make_split, own_cache):
    loaded = cached(make_split(1, size=(80, 120)), ALL, (16, 16)).load(0)
    assert {loaded[name].shape[:2] for name in ALL if FIELDS[name].dims.startswith("HW")} == {(32, 48)}
    original = make_split(1, size=(80, 120)).load(0)
    np.testing.assert_allclose(loaded["boxes"][:, :4], original["boxes"][:, :4] * 0.4, rtol=1e-5)
    assert original["image"].mean() == pytest.approx(loaded["image"].mean(), abs=1)
    assert set(np.unique(loaded["depth"])) <= set(np.unique(original["depth"])), (
        "a resize leaves metres alone"
    )
    wide = cached(make_split(1, size=(80, 120)), ("image",), (16, 60)).load(0)
    assert wide["image"].shape == (80, 120, 3), "120 is not more than twice 60"


def test_progress_is_told(make_split, own_cache):
    told: list[tuple[int, int]] = []
    cached(make_split(4), ("image",), (20, 24), lambda done, total: told.append((done, total)))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]
    cached(make_split(4), ("image",), (20, 24), lambda done, total: pytest.fail("it was there already"))


def damaged(i: int):
    if i % 2:
        raise ValueError(f"photo{i}.jpg: broken")
    return {"image": np.zeros((4, 4, 3), np.uint8)}


def test_all_damaged_samples_are_named_at_once_and_nothing_is_left(own_cache):
    split = Split(tuple(f"photo{i}.jpg" for i in range(6)), damaged, lambda: "damaged")
    with pytest.raises(
        ValueError,
        match=r"^3 of 6 samples cannot be used:\n  photo1.jpg: broken\n    also photo3.jpg, photo5.jpg$",
    ):
        cached(split, ("image",), (4, 4))
    assert folders(own_cache) == []
    with pytest.raises(ValueError, match=r"^photo1.jpg: broken$"):
        cached(replace(split, names=split.names[:3]), ("image",), (4, 4))
    many = Split(tuple(f"photo{i}.jpg" for i in range(100)), damaged, lambda: "damaged")
    with pytest.raises(ValueError, match=r"also (photo\d+.jpg(, )?){10} and 39 more$"):
        cached(many, ("image",), (4, 4))


@pytest.mark.parametrize("use", [cached, prepared])
def test_a_field_that_the_set_does_not_have_is_named(own_cache, use):
    split = Split(("a.jpg",), lambda i: {"image": np.zeros((4, 4, 3), np.uint8)}, lambda: "x")
    with pytest.raises(
        ValueError, match=r"a.jpg: expected depth for this task, the data set gives image; choose another"
    ):
        use(split, ("image", "depth"), (4, 4)).load(0)


@pytest.mark.parametrize("use", [cached, prepared])
def test_fields_of_different_sizes_are_refused(own_cache, use):
    sample = {"image": np.zeros((4, 6, 3), np.uint8), "segmentation": np.zeros((2, 3), np.uint8)}
    split = Split(("a.jpg",), lambda i: sample, lambda: "x")
    with pytest.raises(
        ValueError, match=r"a.jpg: expected fields of one size, got image 4x6, segmentation 2x3; fix"
    ):
        use(split, ("image", "segmentation"), (4, 4)).load(0)


def test_a_folder_that_cannot_be_written_is_named_and_done_without(make_split, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XVISION_CACHE", str(tmp_path / "file"))
    with pytest.warns(
        UserWarning, match=rf"the cache folder {tmp_path}/file cannot be used \(.*\): samples are decoded"
    ):
        split = cached(make_split(3), ("image",), (20, 24))
    np.testing.assert_array_equal(split.load(2)["image"], make_split(3).load(2)["image"])


def test_a_disk_that_fills_up_is_done_without(own_cache):
    """A limit on the size of files stands for the disk; both fail in the middle of writing."""
    program = """
        import resource, signal, warnings
        import numpy as np
        from xvision.data.cache import cached
        from xvision.data.dataset import Split

        def load(i):
            return {"image": np.full((100, 100, 3), i, np.uint8)}

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
        with warnings.catch_warnings(record=True) as caught:
            split = cached(Split(tuple(map(str, range(200))), load, lambda: "x"), ("image",), (100, 100))
        print(len(caught), caught[0].message, split.load(7)["image"].max())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"1 the cache folder {own_cache} cannot be used (File too large)")
    assert done.stdout.endswith(" 7\n")
    assert folders(own_cache) == []


class Endless(tuple[str, ...]):
    """More names than fit anywhere."""

    def __len__(self) -> int:
        return 10**15

    def __getitem__(self, i):
        return str(i)


def test_a_cache_larger_than_the_disk_is_not_begun(own_cache):
    split = Split(Endless(), lambda i: {"image": np.zeros((4, 4, 3), np.uint8)}, lambda: "x")
    with pytest.warns(UserWarning, match=r"cannot be used \(it needs 48000000.0 GB, .* GB are free\)"):
        cached(split, ("image",), (4, 4))
    assert folders(own_cache) == []


def test_two_at_once_decode_once_and_read_the_same(make_split, own_cache):
    split, decoded = make_split(40), []

    def load(i: int):
        decoded.append(i)
        return split.load(i)

    counted = replace(split, load=load)
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: cached(counted, ("image",), (20, 24)), range(2))
    assert len(decoded) == 40
    np.testing.assert_array_equal(one.load(39)["image"], two.load(39)["image"])


def test_what_a_killed_process_left_goes_after_an_hour(make_split, own_cache):
    (own_cache / "samples" / "old.1.tmp").mkdir(parents=True)
    (own_cache / "samples" / "new.2.tmp").mkdir()
    old = time.time() - 4000
    os.utime(own_cache / "samples" / "old.1.tmp", (old, old))
    cached(make_split(2), ("image",), (20, 24))
    left = [name for name in folders(own_cache) if name.endswith(".tmp")]
    assert left == ["new.2.tmp"]


def test_a_worker_gets_the_place_and_not_the_content(make_split, own_cache):
    kept = cached(make_split(50), ("image",), (20, 24))
    kept.load(3)
    sent = pickle.dumps(kept.load)
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent)(3)["image"], kept.load(3)["image"])


def test_an_empty_split_stays_empty(own_cache):
    assert len(cached(Split((), damaged, lambda: "x"), ("image",), (4, 4))) == 0
