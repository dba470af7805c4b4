"""The `data` section of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from xvision.config.parts import Parts, parts_of
from xvision.config.sizes import Size
from xvision.data.datasets import dataset
from xvision.data.rectangles import Rect

Ratio = Annotated[float, Field(ge=0, le=1)]
FramingKind = Literal["crop", "stretch", "letterbox"]
FROZEN = ConfigDict(frozen=True, extra="forbid")


class Augment(BaseModel):
    """Random changes of training samples; the defaults are a horizontal flip and nothing else.

    At zoom 1 a sample is framed as `data.framing` says; what sticks out is cropped at a random place.
    """

    model_config = FROZEN

    zoom: tuple[float, float] = (1.0, 1.0)
    """Range of the factor by which a sample is enlarged (> 1 crops, < 1 leaves a border), even on a log scale."""
    aspect: Annotated[float, Field(ge=1)] = 1.0
    """Largest factor by which width over height changes, up or down."""
    shift: Ratio = 0.0
    """Largest further translation as a fraction of the input's height and width, in whole pixels."""
    rotate_deg: Annotated[float, Field(ge=0, le=180)] = 0.0
    """Largest rotation, either way."""
    hflip: Ratio = 0.5
    """Probability of swapping left and right."""
    brightness: Ratio = 0.0
    """Largest change of the factor on all values: 0.2 is 0.8 to 1.2."""
    contrast: Ratio = 0.0
    """Largest change of the factor on the differences from the image's mean gray."""
    saturation: Ratio = 0.0
    """Largest change of the factor on the differences of each pixel from its gray."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Largest turn of the hues, in turns."""
    randaugment: Annotated[int, Field(ge=0)] = 0
    """Number of RandAugment's photometric operations per image (0: none)."""
    randaugment_magnitude: Annotated[int, Field(ge=0, le=30)] = 9
    """How strong they are, of 30."""
    erasing: Ratio = 0.0
    """Probability of erasing a random rectangle."""
    mixup: Annotated[float, Field(ge=0)] = 0.0
    """Alpha of mixup's Beta distribution (0: none)."""
    cutmix: Annotated[float, Field(ge=0)] = 0.0
    """Alpha of cutmix's Beta distribution (0: none); with both, each batch draws one of the two."""

    @field_validator("zoom")
    @classmethod
    def _ordered(cls, zoom: tuple[float, float]) -> tuple[float, float]:
        if not 0 < zoom[0] <= zoom[1]:
            raise ValueError(f"expected the smallest and the largest factor, for example 0.8,1.2; got {zoom}")
        return zoom


class Data(BaseModel):
    """Where samples come from and how they become tensors."""

    model_config = FROZEN

    dataset: Annotated[Parts, parts_of(dataset)]
    """One data set, or several that samples are drawn from: ``camvid+nyuv2``."""
    labels: tuple[str, ...] = ()
    """With several data sets: which labels are learned from which, as ``camvid:segmentation`` (empty: all from all)."""
    sampling: Literal["all", "equal"] = "all"
    """With several data sets, an epoch: every sample once, or smaller sets repeated to the length of the largest."""
    size: Size
    """Height and width of the network's input."""
    framing: FramingKind | None = None
    """How samples are brought to that size: `crop` covers it in the sample's aspect and cuts off what sticks out,
    `stretch` fills it with the whole sample, `letterbox` fits the whole sample into it in its aspect.

    Unset: letterbox where a task has boxes or joints, else stretch where one has maps, else crop.
    """
    crop_ratio: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Validation with framing `crop`: this central fraction of the sample's shorter side fills the input."""
    crop_rect: Rect | None = None
    """TOP,LEFT,BOTTOM,RIGHT in pixels of the stored image, for example 0,0,360,480: every sample is first cut to it.

    In training, calibration, validation and `predict` alike, with all its labels. Metrics are then those of the cut
    label at its own resolution, and predicted maps and pictures are of the cut image. Empty: the whole image.
    """
    mask_rect: Rect | None = None
    """In the same form, before any crop: inside, label maps count as unknown (255, depth 0), as on a car's bonnet."""
    cache: bool = True
    """Decode once, into memory-mapped files that every process shares ($XVISION_CACHE, else ~/.cache/xvision).

    With or without: what is more than twice as large as the input is first shrunk to that, by areas.
    """
    flow: Literal["dis", "farneback", "given"] = "dis"
    """Where optical flow comes from for networks that take it: estimated, or the data set's own."""
    augment: Augment = Augment()

    @property
    def frame_gap(self) -> int:
        """How many frames before a frame its previous one lies; 1 where no data set says.

        Raises: ValueError where data sets differ: flow and motion would be of several scales.
        """
        gaps = {
            part.name: part.settings["frame_gap"] for part in self.dataset if part.settings.get("frame_gap")
        }
        if len(set(gaps.values())) > 1:
            told = ", ".join(f"data.{name}.frame_gap={frame_gap}" for name, frame_gap in gaps.items())
            raise ValueError(f"data: expected one frame_gap for all data sets, got {told}; set them alike")
        return next(iter(gaps.values()), 1)

    def choose(self, name: str) -> Data:
        """The section with another data set, or several: what ``data=NAME+NAME`` means.

        A set that was there before keeps its settings. What was learned from sets that are no longer there says nothing
        of these.
        """
        before = {part.name: part for part in self.dataset}
        parsed = parts_of(dataset).parse(name)
        texts = zip(parsed, name.split("+"), strict=True)  # NAME:SETTING says more than the name
        kept = (part if ":" in text else before.get(part.name, part) for part, text in texts)
        chosen = Parts(parsed.registry, tuple(kept))
        names = {part.name for part in chosen}
        labels = tuple(text for text in self.labels if text.partition(":")[0] in names)
        return self.model_copy(update={"dataset": chosen, "labels": labels})
