"""What a network gives: named class scores, maps and pyramids of maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["scores", "map", "pyramid"]

IN_WORDS: dict[Kind, str] = {"scores": "class scores", "map": "maps", "pyramid": "maps at strides"}


@dataclass(frozen=True)
class Step:
    """One step from the numbers of an output to what they say of the original image.

    `clip` between `low` and `high`; `exp`; `argmax`: the index of the first largest value along `axis`; `to_image`: to
    the pixels of the image, by the inverse of the framing and an `interpolation`.

    >>> Step("to_image", interpolation="linear").plain()
    {'operation': 'to_image', 'interpolation': 'linear'}
    """

    operation: Literal["clip", "exp", "argmax", "to_image"]
    low: float | None = None
    high: float | None = None
    axis: int | None = None
    interpolation: Literal["linear", "nearest"] | None = None

    def plain(self) -> dict[str, Any]:
        """For the metadata of a file."""
        return {key: value for key, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class Reading:
    """What the numbers of an output are, and the steps that lead from them to what they say, in `unit`."""

    values: str = "raw"
    gives: str = ""
    unit: str = ""
    steps: tuple[Step, ...] = ()

    def plain(self) -> dict[str, Any]:
        """For the metadata of a file."""
        return {**vars(self), "steps": [step.plain() for step in self.steps]}


CLASS_SCORES = Reading(
    "logits: their softmax along axis 1 are the shares", "class id", steps=(Step("argmax", axis=1),)
)
PIXEL_SCORES = Reading(
    CLASS_SCORES.values, "class id", steps=(Step("to_image", interpolation="linear"), *CLASS_SCORES.steps)
)
PIXEL_IDS = Reading("class ids", "class id", steps=(Step("to_image", interpolation="nearest"),))


@dataclass(frozen=True)
class OutputSpec:
    """One output of a task, which one tensor holds, or of a pyramid one for each stride.

    Shapes: class scores (B, channels); a map (B, channels, H, W), as large as the image or, with one of `strides`, that
    much smaller; a pyramid `name_8` (B, channels, H / 8, W / 8), `name_16`, … for each of `strides`. Each tensor has
    an int8 scale of its own.

    >>> OutputSpec("depth", 1, "map").names, OutputSpec("boxes", 4, "pyramid", (8, 16)).names
    (('depth',), ('boxes_8', 'boxes_16'))
    """

    name: str
    channels: int
    kind: Kind
    strides: tuple[int, ...] = ()
    field: str = ""
    """The label that it is compared with, if it is one of the data's fields."""
    reading: Reading = Reading()
    """How who has the file alone is to read it."""

    def __post_init__(self) -> None:
        count = {"scores": (0, 0), "map": (0, 1), "pyramid": (1, len(self.strides))}[self.kind]
        rising = all(0 < a < b for a, b in zip((0.5, *self.strides), self.strides, strict=False))
        if self.channels < 1 or not count[0] <= len(self.strides) <= count[1] or not rising:
            raise ValueError(
                f"output {self.name}: expected at least one channel and no stride for scores, one at most for a map, "
                f"rising ones for a pyramid, got {self.channels} channels and strides {self.strides} of a {self.kind}"
            )

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> OutputSpec:
        """From what `dataclasses.asdict` has made of one."""
        reading = plain["reading"]
        steps = tuple(Step(**step) for step in reading["steps"])
        return cls(
            **{**plain, "strides": tuple(plain["strides"]), "reading": Reading(**{**reading, "steps": steps})}
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its tensors."""
        if self.kind == "pyramid":
            return tuple(f"{self.name}_{stride}" for stride in self.strides)
        return (self.name,)

    @property
    def needs(self) -> Kind:
        """What a decoder must be able to give: a map that is smaller than the image is a level of a pyramid."""
        return "pyramid" if self.strides else self.kind


def tensor_names(outputs: Sequence[OutputSpec]) -> tuple[str, ...]:
    """The names of all tensors of some outputs, in order."""
    return tuple(name for output in outputs for name in output.names)
