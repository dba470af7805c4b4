"""What a run left in its folder, read and checked for the report.

Every file but `recipe.yaml` may be missing: a run that stopped early has a short report, not none. A file that is there
but broken is an error that names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Tag, TypeAdapter, ValidationError

from xvision.config.messages import explain
from xvision.files import read_json
from xvision.runs.record import Parity, Record

T = TypeVar("T")


class Evaluation(BaseModel):
    """Metrics and tables of one way to compute the network: float, int8 or onnx."""

    model_config = ConfigDict(frozen=True)

    metrics: dict[str, float]
    confusion: dict[str, list[list[int]]] = {}
    """Label field to a table with rows for labels and columns for predictions."""


class EvaluationFile(BaseModel):
    """evaluation.json: the names of the classes by label field, and what each way to compute the network reaches."""

    model_config = ConfigDict(frozen=True)

    classes: dict[str, list[str]] = {}
    float: Evaluation | None = None
    int8: Evaluation | None = None
    onnx: Evaluation | None = None


class SampleRow(BaseModel):
    """One picture of samples/samples.json and what each network finds in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: str
    label: str
    float: str
    int8: str
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


class LayerNoise(BaseModel):
    """Signal over quantization noise at a layer's output."""

    model_config = ConfigDict(frozen=True)

    name: str
    sqnr_db: float


class QuantReport(BaseModel):
    """quant/report.json: what the quantization of this network met."""

    model_config = ConfigDict(frozen=True)

    warnings: list[str] = []
    layers: list[LayerNoise] = []


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


class Kept(BaseModel):
    """checkpoints/best.json: when the network that is kept was measured."""

    model_config = ConfigDict(frozen=True)

    step: int


def _kind(line: Any) -> str:
    return "val" if isinstance(line, dict) and "val" in line else "train"


Line = Annotated[Annotated[TrainLine, Tag("train")] | Annotated[ValLine, Tag("val")], Discriminator(_kind)]
"""What `xvision.train.log` writes."""


@dataclass(frozen=True)
class RunFolder:
    """The files of a run; each is read when first asked for, and None or empty when it is missing."""

    path: Path

    def __post_init__(self) -> None:
        if not (self.path / "recipe.yaml").is_file():
            raise ValueError(f"{self.path}: not a run folder (no recipe.yaml); `xvision run` makes one")

    @cached_property
    def recipe_yaml(self) -> str:
        return (self.path / "recipe.yaml").read_text(encoding="utf-8", errors="replace")

    @cached_property
    def recipe(self) -> dict[str, Any]:
        import yaml

        file = self.path / "recipe.yaml"
        try:
            plain = yaml.safe_load(self.recipe_yaml)
        except yaml.YAMLError as e:
            raise ValueError(f"{file}: cannot be read as YAML ({' '.join(str(e).split())})") from e
        if not isinstance(plain, dict):
            raise ValueError(f"{file}: expected the keys of a recipe, got {type(plain).__name__}")
        return plain

    @cached_property
    def record(self) -> Record | None:
        file = self.path / "record.json"
        return Record.read(file) if file.exists() else None

    @cached_property
    def evaluation(self) -> dict[str, Evaluation]:
        measured = {key: getattr(self._evaluation_file, key) for key in ("float", "int8", "onnx")}
        found: dict[str, Evaluation] = {key: value for key, value in measured.items() if value}
        for key, evaluation in found.items():
            for field, table in evaluation.confusion.items():
                side = len(self.classes.get(field, ()))
                if len(table) != side or any(len(row) != side for row in table):
                    raise ValueError(
                        f"{self.path / 'evaluation.json'}: {key}.confusion.{field}: expected {side} rows and columns, "
                        f"one a class, got {len(table)} x {len(table[0])}; run `xvision val` again"
                    )
        return found

    @cached_property
    def classes(self) -> dict[str, list[str]]:
        return self._evaluation_file.classes

    @cached_property
    def _evaluation_file(self) -> EvaluationFile:
        return self._read("evaluation.json", EvaluationFile) or EvaluationFile()

    @cached_property
    def samples(self) -> list[SampleRow]:
        return self._read("samples/samples.json", list[SampleRow]) or []

    @cached_property
    def layers(self) -> list[LayerCost]:
        return self._read("cost.json", list[LayerCost]) or []

    @cached_property
    def quant(self) -> QuantReport:
        return self._read("quant/report.json", QuantReport) or QuantReport()

    @cached_property
    def parity(self) -> Parity | None:
        """What verification found."""
        return self.record.parity if self.record else self._read("export/parity.json", Parity)

    @cached_property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Metrics by what was measured."""
        return self.record.metrics if self.record else {k: e.metrics for k, e in self.evaluation.items()}

    @cached_property
    def primary(self) -> str | None:
        """The metric that counts; before there is a record, the first one measured."""
        if self.record:
            return self.record.primary
        return next((name for metrics in self.metrics.values() for name in metrics), None)

    @cached_property
    def log(self) -> list[TrainLine | ValLine]:
        """The lines of metrics.jsonl in the order of steps."""
        file = self.path / "metrics.jsonl"
        lines = file.read_text(encoding="utf-8", errors="replace").split("\n") if file.exists() else [""]
        schema: TypeAdapter[TrainLine | ValLine] = TypeAdapter(Line)
        found = []
        for number, line in enumerate(
            lines[:-1], 1
        ):  # what follows the last newline was torn by a kill, or is empty
            try:
                found.append(schema.validate_json(line))
            except ValidationError as e:
                raise ValueError(f"{file}: line {number}: {'; '.join(explain(e))}; delete that line") from e
        return found

    @cached_property
    def steps(self) -> list[TrainLine]:
        return [line for line in self.log if isinstance(line, TrainLine)]

    @cached_property
    def validations(self) -> list[ValLine]:
        return [line for line in self.log if isinstance(line, ValLine)]

    @cached_property
    def best_step(self) -> int | None:
        """The step whose network was kept, as the best of its metric."""
        kept = self._read("checkpoints/best.json", Kept)
        return kept.step if kept else None

    def _read(self, name: str, schema: type[T]) -> T | None:
        """The checked content of a JSON file; None when there is no such file."""
        file = self.path / name
        if not file.exists():
            return None
        plain = read_json(file)
        try:
            return TypeAdapter(schema).validate_python(plain)
        except ValidationError as e:
            raise ValueError(
                f"{file}: {'; '.join(explain(e))}; delete the file and run `xvision run` on the folder again"
            ) from e
