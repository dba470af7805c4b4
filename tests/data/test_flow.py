"""Flow between the two frames of drawn scenes, whose exact flow is known."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest

from xvision.data.cache import cached
from xvision.data.dataset import DataError, Dataset, Sample, Split
from xvision.data.datasets import dataset
from xvision.data.flow import optical_flow, split_for, with_flow

METHODS = ("dis", "farneback")
# Median error of visible pixels over that of no motion, and mean confidence of hidden pixels over that of visible ones.
ERROR_RATIO = {"dis": 0.3, "farneback": 0.4}  # measured 0.22 and 0.31
TRUST_RATIO = {
    "dis": 0.85,
    "farneback": 0.97,
}  # measured 0.78 and 0.94: Farnebäck's flow is smooth over edges


@pytest.fixture(scope="module")
def scenes() -> Split:
    split: Split = dataset.scenes(size="128x192", num_train=8, num_val=1).build().splits["train"]
    return split


def hidden_before(sample: Sample) -> np.ndarray:
    """Pixels that were behind something nearer in the previous frame, or outside of it, by exact flow and depth."""
    flow, (height, width) = sample["flow"], sample["depth"].shape
    depth = np.where(sample["depth"] > 0, sample["depth"], np.inf).reshape(-1)  # the sky is far
    y, x = np.mgrid[:height, :width]
    x, y = np.rint(x - flow[..., 0]).astype(int), np.rint(y - flow[..., 1]).astype(int)
    outside = (x < 0) | (x >= width) | (y < 0) | (y >= height)
    place = (y.clip(0, height - 1) * width + x.clip(0, width - 1)).reshape(-1)
    seen_there = np.full(height * width, -1)
    far_to_near = np.argsort(-depth, kind="stable")
    seen_there[place[far_to_near]] = far_to_near
    nearer = seen_there[place]
    moved = np.linalg.norm(flow.reshape(-1, 2) - flow.reshape(-1, 2)[nearer], axis=1)
    return outside | ((depth[nearer] < 0.9 * depth) & (moved > 1)).reshape(height, width)


@pytest.mark.parametrize("method", METHODS)
def test_flow_is_near_the_exact_one_and_trusted_where_it_is(scenes, method):
    errors, nothing, trusted, hidden = [], [], [], []
    for i in range(len(scenes)):
        sample = scenes.load(i)
        flow, confidence = optical_flow(sample["previous"], sample["image"], method)
        assert (flow.dtype, flow.shape) == (np.float32, sample["flow"].shape)
        assert (confidence.dtype, confidence.shape) == (np.float32, flow.shape[:2])
        assert 0 <= confidence.min() <= confidence.max() <= 1
        errors.append(np.linalg.norm(flow - sample["flow"], axis=2))
        nothing.append(np.linalg.norm(sample["flow"], axis=2))
        trusted.append(confidence)
        hidden.append(hidden_before(sample))
    error, still, trust, gone = (np.stack(parts) for parts in (errors, nothing, trusted, hidden))
    assert np.median(error[~gone]) < ERROR_RATIO[method] * np.median(still[~gone])
    assert trust[gone].mean() < TRUST_RATIO[method] * trust[~gone].mean()
    assert np.median(error[trust > 0.9]) < 0.2 * np.median(error[trust < 0.1])


@pytest.mark.parametrize("method", METHODS)
def test_a_shift_is_found_with_its_sign(method):
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.integers(0, 255, (80, 120, 3), dtype=np.uint8), (0, 0), 2)
    wide = cv2.normalize(wide, None, 0, 255, cv2.NORM_MINMAX)
    previous, image = wide[8:72, 8:104], wide[6:70, 5:101]  # what was at (x, y) is now at (x + 3, y + 2)
    flow, confidence = optical_flow(previous, image, method)
    inner = flow[10:-10, 10:-10]
    np.testing.assert_allclose(np.median(inner, axis=(0, 1)), (3, 2), atol=0.1)
    assert np.abs(inner - (3, 2)).max() < 0.7  # no outliers
    assert np.median(confidence) > 0.9


def test_what_comes_from_outside_is_not_trusted():
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.integers(0, 255, (64, 140, 3), dtype=np.uint8), (0, 0), 2)
    wide = cv2.normalize(wide, None, 0, 255, cv2.NORM_MINMAX)
    _, confidence = optical_flow(wide[:, 10:106], wide[:, 4:100])
    assert confidence[:, 10:-10].mean() > 3 * confidence[:, :4].mean()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (7, 90), (12, 64), (40, 9)])
def test_images_of_any_size(shape, method):
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    flow, confidence = optical_flow(image, image, method)
    assert flow.shape == (*shape, 2)
    assert np.abs(flow).max() < 0.5
    assert confidence.min() > 0.5


def test_a_split_with_flow(scenes):
    some = scenes.take([2, 5])
    flowing = with_flow(some, "farneback")
    sample = flowing.load(1)
    flow, confidence = optical_flow(sample["previous"], sample["image"], "farneback")
    np.testing.assert_array_equal(sample["flow"], flow)
    np.testing.assert_array_equal(sample["confidence"], confidence)
    np.testing.assert_array_equal(sample["motion"], some.load(1)["motion"])
    assert (flowing.names, flowing.classes) == (some.names, some.classes)
    again = pickle.loads(pickle.dumps(flowing))
    np.testing.assert_array_equal(again.load(1)["flow"], flow)
    assert again.digest() == flowing.digest()
    assert len({some.digest(), flowing.digest(), with_flow(some, "dis").digest()}) == 3


def test_the_cache_keeps_it(scenes, own_cache, monkeypatch):
    flowing = with_flow(scenes.take([0, 1]))
    fields = ("image", "flow", "confidence")
    expected = flowing.load(1)["flow"]
    first = cached(flowing, fields, (128, 192))
    monkeypatch.setattr("xvision.data.flow._estimate", None)  # would fail if it were asked again
    again = cached(flowing, fields, (128, 192))
    for split in (first, again):
        np.testing.assert_array_equal(split.load(1)["flow"], expected)


def test_half_the_size_has_half_the_flow(scenes, own_cache):
    flowing = with_flow(scenes.take([2]))
    small = cached(flowing, ("image", "flow"), (32, 48)).load(0)
    assert small["flow"].shape == (64, 96, 2)
    whole = flowing.load(0)["flow"]
    np.testing.assert_allclose(small["flow"].mean((0, 1)), whole.mean((0, 1)) / 2, rtol=1e-4)


def test_what_cannot_be_done_is_told(scenes, make_split):
    with pytest.raises(
        ValueError, match=r"^flow: expected the method dis or farneback, or given, got 'raft'$"
    ):
        with_flow(scenes, "raft")
    with pytest.raises(
        ValueError,
        match=r"^a: expected image and previous to estimate flow, the data set gives image; choose a data s",
    ):
        with_flow(Split(("a",), _one_frame, str)).load(0)
    with pytest.raises(
        ValueError,
        match=r"^a: expected two frames of one size to estimate flow, got 4x5 and 5x4; fix the files$",
    ):
        with_flow(Split(("a",), _two_sizes, str)).load(0)


def _one_frame(i: int) -> Sample:
    return {"image": np.zeros((4, 5, 3), np.uint8)}


def _two_sizes(i: int) -> Sample:
    return {"image": np.zeros((4, 5, 3), np.uint8), "previous": np.zeros((5, 4, 3), np.uint8)}


def test_given_flow_is_kept_and_trusted(scenes):
    given = with_flow(scenes, "given")
    sample = given.load(0)
    np.testing.assert_array_equal(sample["flow"], scenes.load(0)["flow"])
    assert sample["confidence"].dtype == np.float32
    assert (sample["confidence"] == 1).all()
    assert len({scenes.digest(), given.digest(), with_flow(scenes).digest()}) == 3
    pickle.loads(pickle.dumps(given))


def test_a_network_gets_what_it_takes_or_an_error_that_says_what_to_choose(scenes):
    fields = tuple(scenes.load(0))
    frames = Dataset("streets", fields, {}, {"val": scenes}, scenes.joints)
    assert split_for(frames, "val", ("image",)).digest() == scenes.digest()
    assert split_for(frames, "val", ("image", "previous")).digest() == scenes.digest()
    flow = split_for(frames, "val", ("image", "flow"), "farneback")
    assert flow.digest() == with_flow(scenes, "farneback").digest()
    photos = Dataset("photos", ("image", "segmentation"), {}, {"val": scenes})
    with pytest.raises(
        DataError,
        match=r"^photos: expected a previous frame for net.inputs=image\+flow, the data set gives image, segmentation; "
        r"choose a data set of frames \(data=frame_pair_folder, or data.frame_gap=1 if yours .*, or net.inputs=image$",
    ):
        split_for(photos, "val", ("image", "flow"))
    with pytest.raises(DataError, match=r"expected a previous frame for net.inputs=image\+previous"):
        split_for(photos, "val", ("image", "previous"), "given")
    with pytest.raises(
        DataError, match=r"^photos: expected a field flow for data.flow=given, .* set data.flow=dis"
    ):
        split_for(photos, "val", ("image", "flow"), "given")
