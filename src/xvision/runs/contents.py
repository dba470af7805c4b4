"""What the files of a run hold, as far as it is neither a recipe, measurements nor a record."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from xvision.quant.findings import Sensitivity
from xvision.runs.measurements import Column
from xvision.runs.names import DEFAULT, stage_name
from xvision.runs.record import Frozen


class Done(Frozen):
    """What a stage read and left, and how long that took."""

    inputs: str
    """Digest of the settings, the data and the files that it read."""
    outputs: dict[str, str]
    """sha256 by path."""
    measured: tuple[Column, ...] = ()
    """The networks and executors whose figures it found."""
    version: str = ""
    """Of what proved it, where another version might prove something else."""
    exit_code: int
    started: str
    commit: str
    dirty: bool
    wall_s: float
    cpu_s: float


class Status(Frozen):
    """status.json: the recipe that the run was made with, and each stage that was done."""

    recipe: dict[str, Any] = Field(default_factory=dict)
    recipe_id: str = ""
    quantizations: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """The `quant` section that each quantization was made with, by its name."""
    evaluation: str = ""
    """sha256 of evaluation.json, which several stages write."""
    stages: dict[str, Done] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _of_one_quantization(cls, plain: Any) -> Any:
        """What a version wrote that knew one quantization: its stages are those of the default, to be done again."""
        stages = plain.get("stages") if isinstance(plain, dict) else None
        if not isinstance(stages, dict):
            return plain
        found = {}
        for name, done in stages.items():
            if name in ("quantize", "export", "verify") and isinstance(done, dict):
                found[stage_name(name, DEFAULT)] = {**done, "inputs": ""}
            else:
                found[name] = done
        return {**plain, "stages": found}

    def writer(self, name: str) -> Done | None:
        """The stage that wrote a file."""
        return next((done for done in self.stages.values() if name in done.outputs), None)


class Analysed(Frozen):
    """Where a quantization loses its signal, and of how many images that was asked."""

    num_images: int
    num_labelled: int
    found: Sensitivity


class Calibration(Frozen):
    """The training images that a quantization was found on."""

    digest: str
    """Of which they are, and what they hold."""
    names: tuple[str, ...]


class Sample(Frozen):
    """One picture of samples/samples.json and what each network finds in it."""

    image: str
    label: str
    found: dict[str, str]
    """By network."""
    correct: bool | None
    """None where there is no right or wrong: maps."""


class LayerCost(BaseModel):
    """One row of cost.json."""

    model_config = ConfigDict(frozen=True)

    name: str
    type: str
    output: tuple[int, ...]
    macs: int
    params: int


class TrainLine(BaseModel):
    """A line of metrics.jsonl about the steps since the line before."""

    model_config = ConfigDict(frozen=True)

    step: int
    lr: float
    loss: float
    terms: dict[str, float] = {}


class ValLine(BaseModel):
    """A line of metrics.jsonl about a validation."""

    model_config = ConfigDict(frozen=True)

    step: int
    val: dict[str, float]


class Best(BaseModel):
    """checkpoints/best.json: when the network that is kept was measured."""

    model_config = ConfigDict(frozen=True)

    step: int
    num_steps: int = 0
    """Of the whole training."""


def _kind(line: Any) -> str:
    return "val" if isinstance(line, dict) and "val" in line else "train"


Line = Annotated[Annotated[TrainLine, Tag("train")] | Annotated[ValLine, Tag("val")], Discriminator(_kind)]
"""What `xvision.train.log` writes."""
