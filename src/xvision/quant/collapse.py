"""Collapse of classes: integers that take most images for one class, or never find one that float often finds.

A mean over classes hides it, and so does the noise of all scores together: one saturated score is enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from xvision.graph.outputs import named
from xvision.models.model import Model
from xvision.quant.calibration import Batches

MORE = 0.15
"""Of all images or pixels, which integers take for one class and float does not."""
OFTEN = {"images": 0.05, "pixels": 0.01}
"""Share of a class that float finds often: integers must find it too."""
LEAST_FOUND = 4
"""Images that float must find of it."""
LOST = 0.02
"""Of what float finds of a class, which integers must find at least."""
LEAST = 16
"""Fewer images or pixels say nothing of shares."""


@dataclass(frozen=True)
class ClassCounts:
    """How many images or pixels a network takes for each class, (C,)."""

    what: Literal["images", "pixels"]
    counts: Tensor

    def __add__(self, other: ClassCounts) -> ClassCounts:
        return ClassCounts(self.what, self.counts + other.counts)

    @property
    def different(self) -> int:
        """How many classes are found at all."""
        return int((self.counts > 0).sum())


def class_outputs(network: nn.Module) -> dict[str, str]:
    """Outputs of a network that score classes, and the label field that names those ("" if none does).

    Of networks that are not ours: the only output of one that says `num_classes`, as timm's do.
    """
    if isinstance(network, Model):
        return {
            spec.name: spec.field
            for specs in network.outputs_by_task.values()
            for spec in specs
            if spec.reading.gives == "class id" and spec.kind != "pyramid"
        }
    inside = getattr(network, "network", network)
    return {"out0": ""} if getattr(inside, "num_classes", 0) else {}


def predictions(
    compute: Callable[..., Any], batches: Batches, outputs: Iterable[str]
) -> dict[str, ClassCounts]:
    """How often each class is found, by output; of outputs that score classes."""
    found: dict[str, ClassCounts] = {}
    with torch.no_grad():
        for planes in batches:
            given = named(compute(*planes))
            for name in outputs:
                scores = given.get(name)
                if isinstance(scores, Tensor) and scores.is_floating_point() and scores.ndim in (2, 4):
                    counts = torch.bincount(scores.argmax(1).flatten(), minlength=scores.shape[1]).cpu()
                    more = ClassCounts("images" if scores.ndim == 2 else "pixels", counts)
                    found[name] = found[name] + more if name in found else more
    return found


def collapsed(
    before: Mapping[str, ClassCounts],
    after: Mapping[str, ClassCounts],
    names: Mapping[str, Sequence[str]],
) -> Iterator[str]:
    """A sentence for each output whose classes integers do not tell apart, from what float and integers find.

    `names` are those of the classes by output, as far as they are known.
    """
    for output, was in before.items():
        yield from _collapsed(output, was, after[output], names.get(output, ()))


def _collapsed(output: str, before: ClassCounts, after: ClassCounts, names: Sequence[str]) -> Iterator[str]:
    number = int(before.counts.sum())
    if number < LEAST or len(before.counts) < 2:
        return
    was, now = before.counts.double() / number, after.counts.double() / number
    held_back = f"{number} held-back {before.what}"

    def called(i: int) -> str:
        return f"'{names[i]}'" if i < len(names) else f"class {i}"

    most = int((now - was).argmax())
    if float(now[most] - was[most]) > MORE:
        yield (
            f"'{output}' collapses: integers find {called(most)} in {now[most]:.0%} of {held_back}, float in "
            f"{was[most]:.0%}; give more bits to its layers (xvision quantize RUN --sensitivity), or train with "
            "quant.method=qat"
        )
        return
    lost = (was >= OFTEN[before.what]) & (before.counts >= LEAST_FOUND) & (now < LOST * was)
    if bool(lost.any()):
        gone = ", ".join(f"{called(i)} (float: {was[i]:.0%})" for i in lost.nonzero().flatten().tolist())
        yield (
            f"'{output}' loses classes: integers never find {gone} in {held_back}; give more bits to its layers "
            "(xvision quantize RUN --sensitivity), or train with quant.method=qat"
        )
