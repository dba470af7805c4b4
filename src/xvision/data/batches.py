"""What the samples of a batch become: framed or augmented, stacked field by field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xvision.data.dataset import Sample, Split
from xvision.data.framing import Framed, Framing
from xvision.data.geometry import place_samples, warp
from xvision.data.photometry import Photometry
from xvision.data.resources import explaining_resources
from xvision.data.rng import Purpose
from xvision.data.settings import Data
from xvision.fields import FIELDS

Batch = dict[str, Any]
"""field -> Tensor (pixels: B, C, H, W or B, H, W; objects padded with rows of -1), "index": int64 (B,), "name"
and, of samples that are not augmented, "framing": the way back from the network's outputs to the stored sizes.

Fields that keep their own size are lists of tensors where the sizes in a batch differ. Where samples of several sets
meet, "labelled" maps each field that some sample lacks to a list that says which have it; the others hold its fill."""


@dataclass(frozen=True)
class Job:
    """A batch that is to be made: its epoch, its number in it, its samples, and height and width of the input."""

    epoch: int
    number: int
    indices: np.ndarray[Any, np.dtype[np.int64]]
    size: tuple[int, int]


@dataclass
class Batches:
    """Makes the batch of a job."""

    split: Split
    fields: tuple[str, ...]
    data: Data
    train: bool
    seed: int
    rank: int
    framing: Framing
    native_size: tuple[str, ...]

    def __post_init__(self) -> None:
        self.photometry = (
            Photometry(self.data.augment, self.fields, self.split.classes) if self.train else None
        )

    def __getitem__(self, job: Job) -> Batch:
        size = "x".join(map(str, job.size))
        with explaining_resources(
            f"a batch of {len(job.indices)} samples of {size} (HxW) does not fit into memory"
        ):
            return self._made(job)

    def _made(self, job: Job) -> Batch:
        names = [self.split.names[i] for i in job.indices]
        samples = [self.split.load(int(i)) for i in job.indices]
        batch: Batch = self._warped(samples, job)
        if self.photometry is not None:
            self.photometry.change(batch, self.seed, job.epoch, job.indices)
            self.photometry.mix(batch, self.seed, job.epoch, job.number, self.rank)
        batch["index"] = torch.from_numpy(np.array(job.indices, np.int64))
        batch["name"] = names
        return batch

    def _warped(self, samples: list[Sample], job: Job) -> Batch:
        """Every field of every sample under its map, stacked."""
        target = job.size
        shapes = [_image_shape(sample) for sample in samples]
        if self.train:
            key = (self.seed, job.epoch, job.indices, Purpose.PLACE)
            placements = place_samples(self.data.augment, target, *key)
            pairs = zip(placements, shapes, strict=True)
            maps = [placement.map(shape, target, self.framing) for placement, shape in pairs]
        else:
            maps = [self.framing.map(shape, target) for shape in shapes]
        batch: Batch = {} if self.train else {"framing": Framed(self.framing, target)}
        for field in self.fields:
            has = [field in sample for sample in samples]
            if not all(has):
                batch.setdefault("labelled", {})[field] = has
            if field in self.native_size:
                batch[field] = _kept(
                    [sample[field] if field in sample else self._nothing(field) for sample in samples]
                )
            elif not FIELDS[field].dims.startswith("HW"):
                rows = [
                    warp(field, sample[field], m, joints=self.split.joints)
                    if field in sample
                    else self._nothing(field)
                    for sample, m in zip(samples, maps, strict=True)
                ]
                batch[field] = _stacked(rows)
            else:
                batch[field] = _warped_maps(field, samples, maps, target)
        return batch

    def _nothing(self, field: str) -> np.ndarray[Any, Any]:
        """What stands in the place of a label that a sample lacks; it is never read."""
        what = FIELDS[field]
        if what.dims.startswith("HW"):
            return np.full((1, 1), what.fill, what.dtype)
        if not what.dims:
            return np.array(-1, what.dtype)
        joints = self.split.joints
        return np.empty((0, *what.row(len(joints.names) if joints else 0)), what.dtype)


def _warped_maps(field: str, samples: list[Sample], maps: list[Any], target: tuple[int, int]) -> Tensor:
    """(B, C, H, W) or (B, H, W); the fill for samples that lack the field."""
    held = [sample[field] for sample in samples if field in sample]
    trailing, dtype = (held[0].shape[2:], held[0].dtype) if held else ((), np.dtype(FIELDS[field].dtype))
    out = np.empty((len(samples), *target, *trailing), dtype)
    for row, sample, moved in zip(out, samples, maps, strict=True):
        if field in sample:
            warp(field, sample[field], moved, row)
        else:
            row[...] = FIELDS[field].fill
    pixels = torch.from_numpy(out)
    return pixels.permute(0, 3, 1, 2) if pixels.ndim == 4 else pixels


def _image_shape(sample: Sample) -> tuple[int, int]:
    """Of the frame; else (labels alone are wanted) of the first map."""
    height, width = next(
        value.shape[:2] for name, value in sample.items() if FIELDS[name].dims.startswith("HW")
    )
    return height, width


def _kept(values: list[np.ndarray[Any, Any]]) -> Tensor | list[Tensor]:
    """Maps as they are: one tensor if they have one size."""
    if len({value.shape for value in values}) == 1:
        return torch.from_numpy(np.stack(values))
    return [torch.from_numpy(np.array(value)) for value in values]


def _stacked(values: list[np.ndarray[Any, Any]]) -> Tensor:
    """One tensor of values that may differ in their number of objects: missing rows are -1."""
    if values[0].ndim == 0:
        return torch.from_numpy(np.stack(values))
    most = max(len(value) for value in values)
    out = np.full((len(values), most, *values[0].shape[1:]), -1, values[0].dtype)
    for row, value in zip(out, values, strict=True):
        row[: len(value)] = value
    return torch.from_numpy(out)
