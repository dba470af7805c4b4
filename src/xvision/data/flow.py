"""Optical flow between the two frames of a sample, and how far it can be trusted.

Flow is the way from t-1 to t of what is seen at t, stored on the pixels of t, as in the drawn scenes: the current
frame at p shows what the previous one shows at p - flow(p). It is minus the flow found from the current frame to the
previous one. Where both directions agree it is trusted; a place that was hidden in the previous frame has no partner
there, so the way back does not end where the way there began.

Sources: Farnebäck, "Two-frame motion estimation based on polynomial expansion" (2003); Kroeger et al., "Fast optical
flow using dense inverse search" (2016); the tolerance of the consistency check from Sundaram, Brox and Keutzer, "Dense
point trajectories by GPU-accelerated large displacement optical flow" (2010), equation 5, made soft here.

On drawn scenes (`benchmarks/flow.py`) dis is nearer to the true flow than farneback, and its confidence tells better
which pixels to trust: farneback's flow is smooth over edges, so that it agrees with itself where it is wrong.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any, Literal

import cv2
import numpy as np

from xvision.data.concat import Joined
from xvision.data.dataset import DataError, Dataset, Sample, Split
from xvision.data.images import Array, Pixels

Method = Literal["dis", "farneback"]
Source = Literal["dis", "farneback", "given"]

_VERSION = 1  # raised when the same frames give another flow
_MIN_SIDE_PX = 32  # OpenCV's DIS reads beyond the memory of images that are smaller
_RELATIVE, _ABSOLUTE_PX2 = 0.01, 0.5  # tolerance of the check, on squared lengths


METHODS: dict[Source, str] = {
    "dis": "OpenCV's DISOpticalFlow with PRESET_MEDIUM, started from zero",
    "farneback": "OpenCV's calcOpticalFlowFarneback with pyr_scale 0.5, levels 5, winsize 13, iterations 5, poly_n 5, "
    "poly_sigma 1.1",
    "given": "the data set's own: the flow in px from the previous frame to the image, on the pixels of the image",
}


def described(source: Source) -> dict[str, Any]:
    """What a file says of how flow and confidence are made from two frames."""
    if source == "given":
        return {"source": source, "method": METHODS[source], "confidence": "1 where the data set has none"}
    return {
        "source": source,
        "method": METHODS[source],
        "frames": "both whole as stored, before crop, shrinking and framing, in gray by OpenCV's COLOR_RGB2GRAY; sides "
        f"below {_MIN_SIDE_PX} px are continued right and down by their border pixels for the estimate alone",
        "flow": "F = -B, B being the flow estimated from the image to the previous frame, in px; wherever the frames "
        "are resized, F is resized like them and its values are multiplied by s_x and s_y",
        "confidence": "exp(-e / t), and 0 where p + B(p) lies outside -0.5 to w - 0.5 and -0.5 to h - 0.5; "
        "e = |B(p) + A(p + B(p))|^2, "
        f"t = {_RELATIVE} (|B(p)|^2 + |A(p + B(p))|^2) + {_ABSOLUTE_PX2}, A being the flow estimated from the "
        "previous frame to the image, read bilinearly (OpenCV's remap, BORDER_REPLICATE), p = (column, row)",
    }


def optical_flow(previous: Pixels, image: Pixels, method: Method = "dis") -> tuple[Array, Array]:
    """Flow and confidence of the pixels of `image`.

    Confidence falls from 1, where both directions agree, to 0: it is exp(-e² / tolerance) for a disagreement of e px,
    and 0 where the flow leads out of the previous frame.

    Shapes: previous, image (H, W, 3); flow (H, W, 2) float32 in px; confidence (H, W) float32.
    """
    assert previous.shape == image.shape, (previous.shape, image.shape)
    before, now = (cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) for pixels in (previous, image))
    back, forth = _estimate(now, before, method), _estimate(before, now, method)
    return -back, _agreement(back, forth)


def _estimate(source: Array, target: Array, method: Method) -> Array:
    """The flow from source to target: source(p) is seen at target(p + flow(p))."""
    height, width = source.shape
    missing = max(0, _MIN_SIDE_PX - height), max(0, _MIN_SIDE_PX - width)
    if any(missing):
        source, target = (
            cv2.copyMakeBorder(pixels, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
            for pixels in (source, target)
        )
    start = np.zeros((*source.shape, 2), np.float32)
    if method == "dis":
        # An estimator of its own for each call: it keeps buffers, and the cache decodes in several threads.
        dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        found = dis.calc(source, target, start)
    else:
        found = cv2.calcOpticalFlowFarneback(
            source, target, start, pyr_scale=0.5, levels=5, winsize=13, iterations=5, poly_n=5, poly_sigma=1.1, flags=0
        )  # fmt: skip
    return np.ascontiguousarray(found[:height, :width], np.float32)


def _agreement(back: Array, forth: Array) -> Array:
    """How well `forth`, where `back` ends, leads back again."""
    height, width = back.shape[:2]
    x = np.arange(width, dtype=np.float32) + back[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + back[..., 1]
    there = cv2.remap(forth, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    error = ((back + there) ** 2).sum(2)
    tolerance = _RELATIVE * ((back**2).sum(2) + (there**2).sum(2)) + _ABSOLUTE_PX2
    inside = (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)
    confidence: Array = np.where(inside, np.exp(-error / tolerance), 0).astype(np.float32)
    return confidence


def split_for(dataset: Dataset, name: str, inputs: tuple[str, ...], source: Source = "dis") -> Split:
    """A split of a data set with the fields that a network takes, optical flow included.

    Raises: DataError that names the data set if it cannot give them.
    """
    needs_flow = bool({"flow", "confidence"} & set(inputs))
    split = dataset.splits[name]
    for set_name, part in (split.parts or {dataset.name: split}).items():
        setting = f"data.{set_name}.frame_gap" if split.parts else "data.frame_gap"
        given = ", ".join(part.fields)
        if needs_flow and source == "given":
            if "flow" not in part.fields:
                raise DataError(
                    f"{set_name}: expected a field flow for data.flow=given, the data set gives {given}; "
                    f"set data.flow=dis to estimate it, or choose another data set"
                )
        elif ("previous" in inputs or needs_flow) and "previous" not in part.fields:
            raise DataError(
                f"{set_name}: expected a previous frame for net.inputs={'+'.join(inputs)}, the data set gives "
                f"{given}; choose a data set of frames (data=frame_pair_folder, or {setting}=1 if yours lie in a "
                "folder of masks or depth), or net.inputs=image"
            )
    return with_flow(split, source) if needs_flow else split


def with_flow(split: Split, source: Source = "dis") -> Split:
    """The split with the fields "flow" and "confidence", estimated from "previous" and "image" on loading.

    A flow that the samples already have, as drawn scenes do, is replaced: a device has only the estimate. With the
    source "given" it is kept, and trusted everywhere (confidence 1) if the samples do not say how far. Use the cache
    (`data.cache`), which keeps it; its samples are those of another split, because the digest depends on the source.

    Raises: ValueError if the source is unknown; DataError, on loading, for samples without two frames of one size.
    """
    if source not in ("dis", "farneback", "given"):
        raise ValueError(f"flow: expected the method dis or farneback, or given, got '{source}'")
    if split.parts:
        parts = {name: with_flow(part, source) for name, part in split.parts.items()}
        several = Joined(tuple(parts.values()), split.shares)
        return replace(split, load=several.load, digest=several.digest, parts=parts)
    flowing = _Given(split) if source == "given" else _WithFlow(split, source)
    fields = tuple(dict.fromkeys((*split.fields, "flow", "confidence"))) if split.fields else ()
    return replace(split, load=flowing.load, digest=flowing.digest, fields=fields)


@dataclass(frozen=True)
class _Given:
    split: Split

    def load(self, i: int) -> Sample:
        sample = self.split.load(i)
        if "flow" not in sample:
            raise DataError(
                f"{self.split.names[i]}: expected flow, the data set gives {', '.join(sample)}; set data.flow=dis"
            )
        return {"confidence": np.ones(sample["flow"].shape[:2], np.float32), **sample}

    def digest(self) -> str:
        return hashlib.sha256(f"{self.split.digest()} flow given".encode()).hexdigest()


@dataclass(frozen=True)
class _WithFlow:
    split: Split
    method: Method

    def load(self, i: int) -> Sample:
        sample, name = self.split.load(i), self.split.names[i]
        missing = [field for field in ("image", "previous") if field not in sample]
        if missing:
            raise DataError(
                f"{name}: expected image and previous to estimate flow, the data set gives {', '.join(sample)}; "
                "choose a data set with two frames"
            )
        now, before = sample["image"].shape[:2], sample["previous"].shape[:2]
        if now != before:
            raise DataError(
                f"{name}: expected two frames of one size to estimate flow, got {now[0]}x{now[1]} and "
                f"{before[0]}x{before[1]}; fix the files"
            )
        flow, confidence = optical_flow(sample["previous"], sample["image"], self.method)
        return {**sample, "flow": flow, "confidence": confidence}

    def digest(self) -> str:
        text = f"{self.split.digest()} flow {self.method} version {_VERSION}"
        return hashlib.sha256(text.encode()).hexdigest()
