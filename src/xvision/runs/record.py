"""Records: what a run achieved, with everything needed to repeat and to check it.

A `Record` is one run with one seed; it lies in the run folder as `record.json`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xvision.config.messages import explain
from xvision.config.sizes import Size
from xvision.files import read_json, write_json
from xvision.quant.findings import Sensitivity
from xvision.runs.measurements import Measurement

Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Frozen(BaseModel):
    """Plain data of a known form."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class JsonFile(Frozen):
    """Something that lies in a JSON file of its own."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """The content of the file; ValueError names the file and every field that is wrong."""
        plain = read_json(path)
        try:
            return cls.model_validate(plain)
        except ValidationError as e:
            what = cls.__name__.lower()
            raise ValueError(
                f"{path}: not a {what}: {'; '.join(explain(e))}; write it again from its run"
            ) from e

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        write_json(path, self.model_dump(mode="json"))


class Machine(Frozen):
    """What the run was computed on."""

    processor: str
    cores: Count
    threads: Count
    gpu: str = ""
    allocator: str = ""
    """What it does with memory that is free again, as far as that is known."""
    waiting: str = ""
    """How long threads spin while they wait, where the environment says it."""


class StageTime(Frozen):
    """When and by which code a stage was executed, and the seconds it took: on the clock, and of all processors."""

    started: str
    commit: str
    dirty: bool
    wall_s: float
    cpu_s: float


class SplitData(Frozen):
    """A split of the data set: its length, and the sha256 of its list of names and contents."""

    num_samples: Count
    sha256: Sha256


class Complexity(Frozen):
    """Multiply-accumulates and parameters of the network at one input size."""

    macs: Count
    params: Count
    size: Size


class HeadCost(Frozen):
    """What one head adds to the network: multiply-accumulates and parameters."""

    macs: Count
    params: Count


class Affinity(Frozen):
    """How far the gradients of tasks agree on the shared encoder: mean cosines over batches of training samples."""

    tasks: tuple[str, ...]
    cosines: tuple[tuple[float | None, ...], ...]
    """None where two tasks were never labelled together."""
    samples: Count


class LevelRow(Frozen):
    """Simulation and runtime at one optimisation level of the runtime."""

    max_lsb: Count
    max_error: float = 0.0
    agreement: float
    tensors: Count


class OperatorRow(Frozen):
    """Each operator alone, given the codes that the executor has for its inputs (see `xvision.export.parity`)."""

    level: str
    tolerance_lsb: Count
    max_lsb: Count
    float_lsb: Count
    codes: Count
    differing: Count
    first_beyond: str | None


class ParityRow(Frozen):
    """What verification found: the largest difference of integer codes, and the smallest share of equal answers."""

    network: str
    reference: str
    """The executor of the network that was compared with, and `executor` the one of `file`."""
    executor: str
    file: str
    version: str = ""
    """Of what ran the network and the file: under another one the proof is stale."""
    ok: bool
    tolerance_lsb: Count = 0
    """The largest difference that the scheme allows."""
    max_lsb: Count
    max_error: float = 0.0
    """Of outputs without integer codes, as a share of the largest value."""
    agreement: float
    levels: dict[str, LevelRow]
    first_difference: str | None = None
    reasons: tuple[str, ...] = ()
    """Why codes may differ end to end though nothing is wrong: then operators are judged."""
    operators: OperatorRow | None = None
    """Where there are reasons, and a difference."""
    images: Count
    sqnr_db: dict[str, float] = {}
    """Of each output, against the float network, on calibration images."""
    wide_layers: tuple[str, ...] = ()
    """Of the network: sums that may go beyond 2^24, where a float32 is not exact."""
    float_operators: tuple[str, ...] = ()
    """Of the network: what computes in float between integers."""
    float_in_runtime: str = ""
    """What the runtime computes in float of the file, and the share of multiply-accumulates."""

    @property
    def judged_lsb(self) -> int:
        """The largest difference of what is judged: of each operator alone, or end to end."""
        return self.max_lsb if self.operators is None else self.operators.max_lsb


class CalibrationData(Frozen):
    """How many images a quantization was found on, and a digest of them; their names are in a file of the run."""

    num_images: Count
    digest: str


class RungRow(Frozen):
    """What one step of a quantization gave (see `xvision.quant.quality`), and the seconds that it took."""

    name: str
    kept: bool
    heads_db: dict[str, float]
    """Signal to quantization noise of each output."""
    seconds: float
    metric: float | None = None
    """The task's primary metric, where labelled training images were judged, and what is lost of it."""
    drop: float | None = None
    standard_error: float | None = None
    """Of the drop."""


class LayerRow(Frozen):
    """Of one layer: the correction that was kept, and signal to quantization noise of its outputs."""

    correction: str
    sqnr_db: float


class Quantization(Frozen):
    """How integer numbers were found: from how many images, with which corrections of layers, and what that cost.

    With `num_judged` 0 too few images were there to hold some back. `dropped`: no correction helped on those. A method
    that says nothing of these leaves them empty.
    """

    quant: dict[str, Any]
    """The `quant` section that it was made with."""
    num_fitted: Count = 0
    num_judged: Count = 0
    corrections: dict[str, Count] = {}
    """How many layers kept which."""
    dropped: bool = False
    rungs: tuple[RungRow, ...] = ()
    """The steps in their order."""
    layers: dict[str, LayerRow] = {}
    """Those that were corrected, in the order of the network."""
    wide_layers: dict[str, Count] = {}
    """Layers whose sums may exceed what float32 holds exactly, and the bound of each, in steps of its accumulator."""
    threshold_shifts: dict[str, float] = {}
    """By how many powers of two training has moved each scale."""
    sensitivity: Sensitivity | None = None
    """Where the signal is lost, if somebody has asked."""
    warnings: tuple[str, ...] = ()
    """What is wrong with the calibration images."""
    calibration: CalibrationData | None = None
    """The images that ranges and corrections were found on."""
    losses: tuple[str, ...] = ()
    """What is so much worse than in float that a reader must know."""


class Artefact(Frozen):
    """A file that the run left."""

    sha256: Sha256
    bytes: Count


class Record(JsonFile):
    """What one run achieved.

    `metrics` are rows: network, executor, split, metric, value, unit; shares are in percent. Keys of `artefacts` are
    paths relative to the run folder. A run that never reached a stage has no entry for it. `heads` and `affinity` are
    of networks with several tasks; `parity` has a row for each exported file, `quantization` each quantization by its
    name; `warnings` are those of settings and data, such as a unit that is probably wrong. `migrated` says what was
    renamed in a record of an older form, and `former_recipe_id` how its recipe was called then.
    """

    name: str
    recipe: dict[str, Any]
    recipe_id: str
    source: str = ""
    expect: dict[str, float] = {}
    seed: Count
    num_steps: Count = 0
    """Optimizer steps of the whole training, which a budget of time decides (0: none, or not recorded)."""
    started: str
    stages: dict[str, StageTime]
    data: dict[str, SplitData]
    classes: dict[str, tuple[str, ...]]
    cost: Complexity
    heads: dict[str, HeadCost] = {}
    affinity: Affinity | None = None
    primary: str
    metrics: tuple[Measurement, ...]
    parity: tuple[ParityRow, ...] = ()
    quantization: dict[str, Quantization] = {}
    warnings: tuple[str, ...] = ()
    migrated: str = ""
    former_recipe_id: str = ""
    artefacts: dict[str, Artefact]
    commit: str
    dirty: bool
    versions: dict[str, str]
    machine: Machine
