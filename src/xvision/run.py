"""The whole pipeline on one screen: data -> train -> quantize -> export -> verify -> report.

A run lives in a folder. `status.json` keeps, for every stage, a digest of what went in (the recipe's keys it reads, the
data, the files of the stages before) and the files that came out. A stage runs when its digest changed or a file is
gone; so a rerun executes nothing, a changed ``quant`` key starts at quantize, an edited image starts at train.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xvision.console import Console
from xvision.files import read_json, write_json, write_text
from xvision.recipe import Recipe, differing_keys, digest, read_recipe

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xvision.data.dataset import Dataset
    from xvision.data.loader import Loader
    from xvision.models.model import Model
    from xvision.report.record import Record
    from xvision.tasks.task import Task


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline and what decides whether it must run again."""

    name: str
    execute: Callable[[Run], None]
    keys: tuple[str, ...]  # parts of the recipe that it reads
    outputs: tuple[str, ...]  # files that it leaves, relative to the run folder
    exit_code: int


class StageError(ValueError):
    """A stage failed for a reason the user can mend; `exit_code` is what the command returns."""

    def __init__(self, stage: Stage, cause: Exception) -> None:
        super().__init__(f"{stage.name}: {cause}")
        self.exit_code: int = getattr(cause, "exit_code", stage.exit_code)


class Run:
    """A run folder with everything that can be made from it, each made when first asked for."""

    def __init__(self, folder: Path, recipe: Recipe, console: Console | None = None) -> None:
        self.folder = folder
        self.recipe = recipe
        self.console = console or Console(quiet=True)

    @cached_property
    def dataset(self) -> Dataset:
        dataset: Dataset = self.recipe.data.dataset.build()
        return dataset

    @cached_property
    def digests(self) -> dict[str, str]:
        """sha256 of each split's list of names and contents."""
        return {name: split.digest() for name, split in self.dataset.splits.items()}

    @cached_property
    def task(self) -> Task:
        task: Task = self.recipe.task.build(self.dataset.classes)
        return task

    def loader(self, split: str, *, train: bool = False) -> Loader:
        """Batches of a split: augmented and shuffled for training, else every sample once in order."""
        from xvision.data.loader import Loader
        from xvision.train.hardware import num_workers

        if split not in self.dataset.splits:
            raise ValueError(f"{self.dataset.name} has no split '{split}', only {', '.join(self.dataset.splits)}")
        world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
        return Loader(
            self.dataset.splits[split],
            (*self.task.inputs, *self.task.needs),
            self.recipe.data,
            batch_size=self.recipe.train.batch_size,
            train=train,
            seed=self.recipe.seed,
            workers=num_workers(self.recipe.train.workers),
            rank=rank,
            world=world,
        )

    def planes(self, split: str) -> Iterator[tuple[Tensor, ...]]:
        """The un-augmented inputs of a split as the network takes them."""
        from xvision.models.pixels import encode

        for batch in self.loader(split).epoch(0):
            yield encode(batch["image"], self.recipe.net.pixels)

    def build(self) -> Model:
        """The network before training: random by the seed, or with the recipe's weights."""
        import torch

        from xvision.models.build import build_model

        torch.manual_seed(self.recipe.seed)
        return build_model(self.recipe.net, self.task.outputs, self.recipe.data.size)

    @cached_property
    def model(self) -> Model:
        """The float network with its best weights."""
        from xvision.train.checkpoint import load_weights

        model = self.build()
        load_weights(model, self.folder / "checkpoints/best.safetensors")
        return model.eval()

    @cached_property
    def quantized(self) -> nn.Module:
        """The network as the device computes it, simulated."""
        from xvision.quant.state import load

        return load(self.model, self.folder / "quant/model.safetensors")

    @property
    def file(self) -> Path:
        return self.folder / "export/model.onnx"

    @property
    def record(self) -> Record:
        from xvision.report.record import Record

        return Record.read(self.folder / "record.json")

    def evaluation(self) -> dict[str, Any]:
        """Metrics and tables by what was measured: float, int8 (simulated), onnx."""
        path = self.folder / "evaluation.json"
        return read_json(path) if path.exists() else {}

    def evaluate(self, key: str, model: Callable[..., Any]) -> dict[str, float]:
        """Measure a model on the validation split and keep the result in evaluation.json."""
        from xvision.train.loop import evaluate

        result = evaluate(model, self.task, self.loader("val"), console=self.console)
        entry = {"metrics": result.metrics, **result.tables}
        write_json(
            self.folder / "evaluation.json", self.evaluation() | {key: entry, "classes": list(self.task.classes)}
        )
        return result.metrics


# ------------------------------------------------------------------------------------------------- stages


def _train(run: Run) -> None:
    from xvision.train.loop import train

    trained = train(
        run.build(),
        run.task,
        run.loader("train", train=True),
        run.loader("val"),
        run.recipe.train,
        run.folder,
        seed=run.recipe.seed,
        console=run.console,
    )
    del trained
    run.evaluate("float", run.model)


def _quantize(run: Run) -> None:
    from xvision.quant.quantize import quantize
    from xvision.quant.state import save

    quant = run.recipe.quant
    quantized = quantize(run.model, run.planes("train"), scheme=quant.scheme, method=quant.method)
    save(quantized, run.folder / "quant/model.safetensors")
    run.evaluate("int8", run.quantized)


def _export(run: Run) -> None:
    from xvision.export.onnx import export

    recipe = run.recipe
    metadata = {
        "task": run.task.name,
        "classes": json.dumps(run.task.classes),
        "preprocessing": json.dumps(
            {"pixels": recipe.net.pixels, "size": "x".join(map(str, recipe.data.size)), "fit": recipe.data.fit}
        ),
        "recipe": json.dumps(_portable(recipe)),
        "recipe_id": recipe.id,
        "data_sha256": json.dumps(run.digests),
    }
    export(run.quantized, run.file, inputs=next(run.planes("val")), metadata=metadata)


def _portable(recipe: Recipe) -> dict[str, Any]:
    """The recipe without paths of the machine that trained it."""
    plain = recipe.to_dict()
    plain["data"]["dataset"] = recipe.data.dataset.name
    return plain


def _verify(run: Run) -> None:
    from itertools import islice

    from xvision.export.runtime import OnnxModel
    from xvision.export.verify import verify

    parity = verify(run.quantized, run.file, islice(run.planes("val"), 4))
    write_json(run.folder / "export/parity.json", parity.to_dict())
    run.evaluate("onnx", OnnxModel(run.file))
    if not parity.ok:
        raise ValueError(
            f"{run.file} computes something else than the simulation: {parity.max_lsb} LSB, first at "
            f"{parity.first_difference}; see {run.folder / 'export/parity.json'}"
        )


def _report(run: Run) -> None:
    from xvision.report.html import write_report

    write_record(run)
    write_samples(run)
    write_report(run.folder)


STAGES = (
    Stage("train", _train, ("data", "net", "task", "train", "seed"), ("checkpoints/best.safetensors",), 4),
    Stage("quantize", _quantize, ("quant",), ("quant/model.safetensors",), 5),
    Stage("export", _export, ("name",), ("export/model.onnx",), 5),
    Stage("verify", _verify, (), ("export/parity.json",), 6),
    Stage("report", _report, ("expect", "source"), ("record.json", "report.html"), 5),
)


def run(
    recipe: Recipe, out: str | Path | None = None, *, until: str = "report", fresh: bool = False,
    console: Console | None = None,
) -> Run:  # fmt: skip
    """Bring the run folder `out` up to date with `recipe`, up to and with the stage `until`.

    Raises ValueError when `out` holds a different recipe, `StageError` when a stage fails.
    """
    folder = open_folder(recipe, Path(out) if out else _next_folder(recipe.name), fresh=fresh)
    this = Run(folder, recipe, console)
    names = [stage.name for stage in STAGES]
    before = _data_digest(this)
    for stage in STAGES[: names.index(until) + 1]:
        before = _bring_up_to_date(this, stage, before)
    return this


def _data_digest(run: Run) -> str:
    try:
        return digest(run.digests)
    except (ValueError, OSError) as e:
        raise StageError(Stage("data", _train, (), (), 3), e) from e


def _bring_up_to_date(run: Run, stage: Stage, before: str) -> str:
    """Execute the stage if what it reads has changed; the digest of what the next stage reads."""
    status = read_status(run.folder)
    plain = run.recipe.to_dict()
    inputs = digest({"before": before, **{key: plain[key] for key in stage.keys}})
    done = status["stages"].get(stage.name, {})
    if done.get("inputs") == inputs and done.get("outputs") == _outputs(run.folder, stage):
        run.console.print(f"{stage.name}: up to date")
        return digest([inputs, done["outputs"]])
    run.console.print(f"{stage.name} …")
    started = datetime.now(UTC).isoformat(timespec="seconds")
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    try:
        stage.execute(run)
    except (ValueError, OSError) as e:
        raise StageError(stage, e) from e
    if os.environ.get("RANK", "0") != "0":
        raise SystemExit(0)  # the first process alone goes on after training
    outputs = _outputs(run.folder, stage)
    status["recipe_id"] = run.recipe.id
    status["stages"][stage.name] = {
        "inputs": inputs,
        "outputs": outputs,
        "started": started,
        "wall_s": round(time.perf_counter() - wall, 2),
        "cpu_s": round(sum(os.times()[:4]) - cpu, 2),
    }
    write_json(run.folder / "status.json", status)
    return digest([inputs, outputs])


def _outputs(folder: Path, stage: Stage) -> dict[str, str] | None:
    """sha256 of each file that the stage leaves; None when one is missing."""
    files = [folder / name for name in stage.outputs]
    if not all(file.is_file() for file in files):
        return None
    return {name: sha256(file) for name, file in zip(stage.outputs, files, strict=True)}


def sha256(file: Path) -> str:
    with file.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


# ------------------------------------------------------------------------------------------------- folders


def open_folder(recipe: Recipe, folder: Path, *, fresh: bool = False) -> Path:
    """Make or reopen the folder of a run; ValueError when it belongs to another recipe."""
    if fresh and folder.exists():
        n = 1
        while (old := folder.with_name(f"{folder.name}.old-{n}")).exists():
            n += 1
        folder.rename(old)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder}: expected a folder for the run, it is a file; choose another --out")
    if (folder / "recipe.yaml").exists():
        other = read_recipe(folder / "recipe.yaml")
        changed = differing_keys(other, recipe)
        if foreign := [k for k in changed if not k.startswith("quant.")]:
            lines = "\n".join(f"  {k}: {changed[k][0]!r} there, {changed[k][1]!r} asked for" for k in foreign)
            raise ValueError(
                f"{folder} holds a run of another recipe:\n{lines}\n"
                f"choose another --out, or --fresh to move the old run aside"
            )
    elif folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: not empty and not a run (no recipe.yaml); choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "recipe.yaml", recipe.to_yaml())
    return folder


def _next_folder(name: str) -> Path:
    n = 1
    while (folder := Path("runs") / f"{name}-{n}").exists():
        n += 1
    return folder


def load_run(folder: Path, console: Console | None = None) -> Run:
    """The run in a folder; ValueError says what is missing."""
    if not (folder / "recipe.yaml").is_file():
        raise ValueError(f"{folder}: not a run folder (no recipe.yaml); `xvision run RECIPE --out {folder}` makes one")
    return Run(folder, read_recipe(folder / "recipe.yaml"), console)


def read_status(folder: Path) -> dict[str, Any]:
    """What each stage of the run read and left; empty for a new run."""
    path = folder / "status.json"
    if not path.exists():
        return {"stages": {}}
    status = read_json(path)
    if not isinstance(status, dict) or not isinstance(status.get("stages"), dict):
        raise ValueError(f"{path}: not a status file of a run; delete it and every stage runs again")
    return status


# ------------------------------------------------------------------------------------------------- results


def write_record(run: Run) -> None:
    """record.json: what this run achieved, with everything needed to repeat it."""
    from xvision.analysis.cost import count
    from xvision.report.record import Record, environment

    cost = count(run.model, run.recipe.data.size)
    rows = [vars(layer) if hasattr(layer, "__dict__") else layer._asdict() for layer in cost.layers]
    write_json(run.folder / "cost.json", rows)
    evaluation = run.evaluation()
    status = read_status(run.folder)["stages"]
    files = {name: sha for stage in status.values() for name, sha in stage["outputs"].items()}
    Record(
        name=run.recipe.name,
        recipe=run.recipe.to_dict(),
        recipe_id=run.recipe.id,
        source=run.recipe.source,
        expect=run.recipe.expect,
        seed=run.recipe.seed,
        started=next(iter(status.values()))["started"],
        stages={name: {k: stage[k] for k in ("wall_s", "cpu_s")} for name, stage in status.items()},
        data={
            name: {"num_samples": len(split), "sha256": run.digests[name]}
            for name, split in run.dataset.splits.items()
        },
        classes=list(run.task.classes),
        cost={"macs": cost.macs, "params": cost.params, "size": "x".join(map(str, run.recipe.data.size))},
        primary=run.task.primary,
        metrics={key: evaluation[key]["metrics"] for key in ("float", "int8", "onnx") if key in evaluation},
        parity=read_json(run.folder / "export/parity.json"),
        artefacts={
            name: {"sha256": sha, "bytes": (run.folder / name).stat().st_size} for name, sha in files.items()
        },
        **environment(),
    ).write(run.folder / "record.json")


def write_samples(run: Run, num_samples: int = 12) -> None:
    """Pictures of the first validation images with what the float and the int8 network find in them."""
    import cv2
    import torch

    from xvision.models.pixels import encode

    folder = run.folder / "samples"
    folder.mkdir(exist_ok=True)
    batch = next(run.loader("val").epoch(0))
    images = batch["image"][:num_samples]
    labels = [run.task.classes[int(i)] for i in batch["class"][:num_samples]]
    with torch.inference_mode():
        planes = encode(images, run.recipe.net.pixels)
        found = {"float": run.task.describe(run.model(*planes)), "int8": run.task.describe(run.quantized(*planes))}
    rows = []
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        picture = run.task.draw(image.permute(1, 2, 0).contiguous().numpy(), found["int8"][i], label)
        cv2.imwrite(str(folder / f"sample_{i:02}.png"), picture[..., ::-1])
        texts = {key: f"{f[i]['class']} {f[i]['score']:.2f}" for key, f in found.items()}
        rows.append({"image": f"sample_{i:02}.png", "label": label, **texts, "correct": found["int8"][i]["class"] == label})
    write_json(folder / "samples.json", rows)
