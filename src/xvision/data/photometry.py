"""Changes of a sample's colours and mixtures of samples, through torchvision's v2 transforms.

Geometry has its own place (`xvision.data.geometry`), so RandAugment is restricted to its photometric operations: its
shears, translations and rotations would move the image away from its labels. Both frames of a pair get the same
change. torchvision draws from torch's global CPU generator: it is seeded for each sample and then put back.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from xvision.data.rng import Integers, Purpose, seeds
from xvision.data.settings import Augment
from xvision.data.tone import change_tone
from xvision.fields import FIELDS

_FRAMES = ("image", "previous")


class Photometry:
    """The photometric settings of `Augment`, ready to change batches.

    Raises: ValueError for mixup or cutmix where more than an image and its class would have to be mixed.
    """

    def __init__(
        self, augment: Augment, fields: tuple[str, ...], classes: Mapping[str, tuple[str, ...]]
    ) -> None:
        self._frames = [name for name in _FRAMES if name in fields]
        self._change = _colour_changes(augment)
        self._tone = _tone_alone(augment)
        self._mixers: list[v2.Transform] = []
        for name, transform, alpha in (
            ("mixup", v2.MixUp, augment.mixup),
            ("cutmix", v2.CutMix, augment.cutmix),
        ):
            if alpha:
                _check_mixable(name, fields, classes)
                self._mixers.append(transform(alpha=alpha, num_classes=len(classes["class"])))

    def change(self, batch: dict[str, Any], seed: int, epoch: int, indices: Integers) -> None:
        """Change the colours of each sample, by numbers that depend on (seed, epoch, index)."""
        if self._change is None:
            return
        numbers = seeds(seed, epoch, indices, Purpose.COLOR)
        with _own_numbers() as reseed:
            if self._tone is not None:
                params = []
                for number in numbers:
                    reseed(number)
                    params.append(self._tone.make_params([]))
                for name in self._frames:
                    change_tone(batch[name], params)
                return
            for row, number in enumerate(numbers):
                reseed(number)
                frames = torch.stack([batch[name][row] for name in self._frames])
                # A plain tensor beside other inputs passes v2 transforms untouched, without a word.
                changed = self._change(tv_tensors.Image(frames))
                for name, frame in zip(self._frames, changed, strict=True):
                    batch[name][row] = frame

    def mix(self, batch: dict[str, Any], seed: int, epoch: int, number: int, rank: int) -> None:
        """Mix the samples of a batch; images stay uint8, labels become float (B, K)."""
        if not self._mixers:
            return
        with _own_numbers() as reseed:
            reseed(seeds(seed, epoch, number, rank, Purpose.MIX)[0])
            mixer = self._mixers[int(torch.randint(len(self._mixers), ()))]
            image, batch["class"] = mixer(tv_tensors.Image(batch["image"].float()), batch["class"])
        mixed = image.as_subclass(Tensor).round().to(torch.uint8)
        batch["image"] = mixed.contiguous(memory_format=torch.channels_last)


def _check_mixable(name: str, fields: tuple[str, ...], classes: Mapping[str, tuple[str, ...]]) -> None:
    if set(fields) != {"image", "class"}:
        raise ValueError(
            f"data.augment.{name}: it can mix an image and its class, this task reads {', '.join(fields)}; "
            f"set data.augment.{name}=0"
        )
    if not classes.get("class"):
        raise ValueError(f"data.augment.{name}: the data set names no classes; set data.augment.{name}=0")


def _tone_alone(augment: Augment) -> v2.ColorJitter | None:
    """What draws brightness, contrast and saturation, where nothing else changes: a batch is changed at once then."""
    tone = {name: getattr(augment, name) for name in ("brightness", "contrast", "saturation")}
    if not any(tone.values()) or augment.hue or augment.randaugment or augment.erasing:
        return None
    return v2.ColorJitter(**tone)


def _colour_changes(augment: Augment) -> Callable[[Tensor], Tensor] | None:
    steps: list[v2.Transform] = []
    jitter = {name: getattr(augment, name) for name in ("brightness", "contrast", "saturation", "hue")}
    if any(jitter.values()):
        steps.append(v2.ColorJitter(**jitter))
    if augment.randaugment:
        steps.append(PhotometricRandAugment(augment.randaugment, augment.randaugment_magnitude))
    if augment.erasing:
        steps.append(v2.RandomErasing(augment.erasing, value=FIELDS["image"].fill))
    return v2.Compose(steps) if steps else None


@contextlib.contextmanager
def _own_numbers() -> Iterator[Callable[[int], Any]]:
    """Inside, torch's CPU generator can be seeded; afterwards it continues as if nothing had been drawn.

    Not torch.manual_seed, which would also reseed the GPU's generator that dropout draws from.
    """
    state = torch.default_generator.get_state()
    try:
        yield torch.default_generator.manual_seed
    finally:
        torch.default_generator.set_state(state)


class PhotometricRandAugment(v2.Transform):  # type: ignore[misc]  # torchvision has no types
    """RandAugment without the operations that move pixels.

    Source: Cubuk et al., "RandAugment" (2020), with the 31 levels and the ranges of torchvision's `RandAugment`; each
    of `num_ops` steps takes one of the operations, which include the identity.
    """

    operations = (
        "identity",
        "brightness",
        "saturation",
        "contrast",
        "sharpness",
        "posterize",
        "solarize",
        "autocontrast",
        "equalize",
    )

    def __init__(self, num_ops: int, magnitude: int) -> None:
        super().__init__()
        self.num_ops = num_ops
        self.level = magnitude / 30

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        chosen = torch.randint(len(self.operations), (self.num_ops,)).tolist()
        signs = (torch.randint(2, (self.num_ops,)) * 2 - 1).tolist()
        return {"steps": [(self.operations[k], sign) for k, sign in zip(chosen, signs, strict=True)]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        for operation, sign in params["steps"]:
            inpt = self.apply(operation, inpt, 1 + sign * 0.9 * self.level)
        return inpt

    def apply(self, operation: str, image: Any, factor: float) -> Any:
        """One operation; `factor` is for those that weaken or strengthen something."""
        match operation:
            case "brightness" | "saturation" | "contrast" | "sharpness":
                return getattr(F, f"adjust_{operation}")(image, factor)
            case "posterize":
                return F.posterize(image, 8 - round(4 * self.level))
            case "solarize":
                return F.solarize(image, 255 * (1 - self.level))
            case "autocontrast" | "equalize":
                return getattr(F, operation)(image)
            case _:
                assert operation == "identity", operation
                return image
