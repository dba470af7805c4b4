"""The whole pipeline on one screen: data -> train -> quantize -> export -> verify -> report.

A run lives in a folder. `status.json` keeps, for every stage, a digest of what went in (the recipe's keys it
reads, the data, the files of the stages before) and the files that came out. A stage runs when its digest
changed or a file is gone; so a rerun executes nothing, a changed ``quant`` key starts at quantize, an edited
image starts at train.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xvision.console import Console
from xvision.data.dataset import DataError
from xvision.data.resources import ResourceError, explaining_resources
from xvision.files import write_json, write_text
from xvision.recipes.schema import Recipe, digest, idle_settings, read_recipe
from xvision.runs.record import source_state
from xvision.runs.run import Run, leaving_nothing, next_folder, open_folder, read_status
from xvision.train.processes import Processes, init


@dataclass(frozen=True)
class Stage:
    """One step of the pipeline and what decides whether it must run again."""

    name: str
    execute: Callable[[Run], None]
    keys: tuple[str, ...]  # parts of the recipe that it reads
    outputs: tuple[str, ...]  # files that it leaves, relative to the run folder
    exit_code: int
    measured: str = ""  # what it measures, a key of evaluation.json


class StageError(ValueError):
    """A stage failed for a reason the user can mend; `exit_code` is what the command returns."""

    def __init__(self, stage: str, exit_code: int, cause: Exception) -> None:
        super().__init__(f"{stage}: {cause}")
        own = None if isinstance(cause, ResourceError) else getattr(cause, "exit_code", None)
        self.exit_code: int = exit_code if own is None else own


def _train(run: Run) -> None:
    from xvision.train.hardware import on_accelerator
    from xvision.train.loop import keep, train

    if run.recipe.train.epochs == 0:
        keep(run.build(), run.folder)
    else:
        recipe = run.recipe.deciding()
        model, loader = run.build(), run.loader("train", train=True, processes=run.processes)
        if line := run.task.prepare(loader.split):
            run.console.print(line)
        train(
            model,
            run.task,
            loader,
            run.loader("val", processes=run.processes),
            run.recipe.train,
            run.folder,
            seed=run.recipe.seed,
            console=run.console,
            identity=digest([run.digests, recipe["data"], recipe["net"], recipe["task"]]),
            processes=run.processes,
        )
    _others_end(run)
    with on_accelerator(run.model):
        run.evaluate("float", run.model)
        if len(run.task.parts) > 1:
            from xvision.train.affinity import affinity

            run.keep("float", {"affinity": affinity(run.model, run.task, run.loader("train", train=True))})


def _others_end(run: Run) -> None:
    """Only training is for several processes: after it the first goes on, with whole data sets."""
    if not run.processes.is_first:
        raise SystemExit(0)
    run.processes = Processes()


def _quantize(run: Run) -> None:
    from xvision.quant.quantize import quantize
    from xvision.quant.state import save

    quant = run.recipe.quant
    quantized = quantize(run.model, run.calibration(), scheme=quant.scheme, method=quant.method)
    save(quantized, run.folder / "quant/model.safetensors")
    run.evaluate("int8", run.quantized)


def _export(run: Run) -> None:
    from xvision.export.export import export

    recipe = run.recipe
    metadata = {
        "task": run.task.name,
        "classes": json.dumps(run.task.classes),
        "class_ids": json.dumps(run.id_maps),  # outputs that are ids and not scores
        "preprocessing": json.dumps(
            {
                "pixels": recipe.net.pixels,
                "inputs": recipe.net.inputs,
                "codes": run.inputs.coding,
                **({} if run.inputs.fields == ("image",) else {"frame_gap": recipe.data.frame_gap}),
                "size": "x".join(map(str, recipe.data.size)),
                "framing": run.framing.kind,
                **({"crop_ratio": run.framing.crop_ratio} if run.framing.kind == "crop" else {}),
                "crop_rect": recipe.data.crop_rect,
            }
        ),
        "recipe": json.dumps(_portable(recipe)),
        "recipe_id": recipe.id,
        "data_sha256": json.dumps(run.digests),
    }
    export(run.quantized, run.file, inputs=next(run.planes("val")), argmax=run.id_maps, metadata=metadata)


def _portable(recipe: Recipe) -> dict[str, Any]:
    """The recipe without the folders of the machine that trained it, to be read elsewhere."""
    plain = recipe.to_dict()
    plain["data"]["dataset"] = {
        part.name: {k: v for k, v in part.settings.items() if not _is_place(v)}
        for part in recipe.data.dataset
    }
    if _is_place(recipe.net.weights):
        plain["net"]["weights"] = Path(recipe.net.weights).name
    return plain


def _is_place(value: Any) -> bool:
    return isinstance(value, str) and Path(value).is_absolute()


def _verify(run: Run) -> None:
    from itertools import islice

    from xvision.export.executors import executor
    from xvision.export.verify import verify

    parity = verify(run.quantized, run.file, islice(run.planes("val"), 4))
    write_json(run.folder / "export/parity.json", parity.to_dict())
    run.evaluate("onnx", executor.onnxruntime().build(run.file))
    if not parity.ok:
        raise ValueError(
            f"{run.file} computes something else than the simulation: {parity.max_lsb} LSB, first at "
            f"{parity.first_difference}; see {run.folder / 'export/parity.json'}"
        )


def _report(run: Run) -> None:
    from xvision.pipeline.report import write_record, write_samples
    from xvision.report.html import write_report

    write_record(run)
    write_samples(run)
    write_report(run.folder)


STAGES = (
    Stage(
        "train",
        _train,
        ("data", "net", "task", "train", "seed"),
        ("checkpoints/best.safetensors",),
        4,
        "float",
    ),
    Stage("quantize", _quantize, ("quant",), ("quant/model.safetensors", "quant/model.json"), 5, "int8"),
    Stage("export", _export, ("name", "export"), ("export/model.onnx",), 5),
    Stage("verify", _verify, (), ("export/parity.json",), 6, "onnx"),
    Stage("report", _report, ("expect", "source", "places"), ("record.json", "report.html"), 5),
)


def run(
    recipe: Recipe, out: str | Path | None = None, *, until: str = "report", fresh: bool = False,
    keep_trained: bool = False, console: Console | None = None,
) -> Run:  # fmt: skip
    """Bring the run folder `out` up to date with `recipe`, up to and with the stage `until`.

    A network that was trained on data which has changed since is trained again, unless `keep_trained`.

    Raises ValueError when `out` holds a different recipe, DataError when its network was trained on other data (and is
    to be kept, or the data was to be the same in another place), `StageError` when a stage fails.
    """
    processes = init()
    if processes.world > 1 and out is None:
        raise ValueError("--out: several processes must agree on a folder; name one")
    folder = Path(out) if out else next_folder(recipe.name)
    if processes.is_first:
        open_folder(recipe, folder, fresh=fresh)
    processes.barrier()
    this = Run(folder, recipe, console if processes.is_first else None, processes=processes)
    names = [stage.name for stage in STAGES]
    with leaving_nothing(folder) if processes.is_first else nullcontext():
        before = _checked(this)
        if processes.is_first:
            _check_trained(this, before, keep=keep_trained)
            write_text(folder / "recipe.yaml", recipe.to_yaml())
    executed = False
    for stage in STAGES[: names.index(until) + 1]:
        before, ran = _bring_up_to_date(this, stage, before)
        executed |= ran
    if executed and until != "report":
        from xvision.pipeline.report import write_record

        write_record(this)
    return this


def _checked(run: Run) -> str:
    """Say what is there, refuse what cannot be done; the digest of the data."""
    with _blaming("data", 2), warnings.catch_warnings(record=True) as said:  # a DataError says 3 itself
        warnings.simplefilter("always")
        found = run.dataset
    for warning in said:
        run.warn(str(warning.message))
    splits = ", ".join(f"{name} {len(split)}" for name, split in found.splits.items())
    run.console.print(f"data  {found.name}: {splits}; {', '.join(found.fields)}")
    for classes in run.task.classes.values():
        some = ", ".join(classes[:8]) + (", …" if len(classes) > 8 else "")
        run.console.print(f"{len(classes)} classes  {some}")
    framed = run.recipe.data.model_copy(update={"framing": run.framing.kind})
    recipe = run.recipe.model_copy(update={"data": framed})
    for line in (*idle_settings(recipe), *run.task.advice(run.inputs.fields)):
        run.warn(line)
    run.check_settings()
    for line in _advice(run):
        run.warn(line)
    with _blaming("data", 3):
        return digest(run.digests)


def _advice(run: Run) -> list[str]:
    """What the number of training samples makes worth changing."""
    from xvision.data.loader import training_batches

    if not run.recipe.train.epochs:
        return []
    train, num_samples = run.recipe.train, len(run.dataset.splits["train"])
    batches = training_batches(num_samples, train.batch_size * run.processes.world)
    return train.advice(num_samples, batches)


def _check_trained(run: Run, before: str, *, keep: bool) -> None:
    """Refuse other data than a network was trained on if it is said to have moved only, or if the network is kept."""
    trained = read_status(run.folder)["stages"].get("train")
    if trained is None or trained["inputs"] == _inputs(run, STAGES[0], before):
        return
    was = read_recipe(run.folder / "recipe.yaml").places
    moved = [place for name, place in run.recipe.places.items() if was.get(name) != place]
    if moved or keep:
        raise DataError(
            f"{run.folder}: expected the data that its network was trained on; {_changes(run)}"
            f"{' in ' + ' and '.join(moved) if moved else ''}; bring the files back, name the place where they are now "
            "(data.root), or train with `xvision run` and another --out"
        )


def _changes(run: Run) -> str:
    """What the record says of the data, and what is there now."""
    file = run.folder / "record.json"
    known = run.record.data if file.exists() else {}
    found = []
    for name, split in run.dataset.splits.items():
        if name not in known:
            continue
        if len(split) != known[name].num_samples:
            found.append(f"'{name}' had {known[name].num_samples} samples, there are {len(split)}")
        elif run.digests[name] != known[name].sha256:
            found.append(f"files of '{name}' have changed")
    return ", ".join(found) or "there are others"


def _inputs(run: Run, stage: Stage, before: str) -> str:
    """The digest of all that a stage reads."""
    plain = run.recipe.deciding() | {"places": run.recipe.places}
    return digest({"before": before, **{key: plain[key] for key in stage.keys}})


@contextmanager
def _blaming(stage: str, exit_code: int) -> Iterator[None]:
    """What the user can mend as this stage's error."""
    try:
        with explaining_resources():
            yield
    except (ValueError, OSError) as e:
        raise StageError(stage, exit_code, e) from e


def _bring_up_to_date(run: Run, stage: Stage, before: str) -> tuple[str, bool]:
    """Execute the stage if what it reads has changed; the digest of what the next stage reads, and if it ran."""
    status = read_status(run.folder)
    inputs = _inputs(run, stage, before)
    done = status["stages"].get(stage.name, {})
    measured = not stage.measured or stage.measured in run.evaluation()
    if measured and done.get("inputs") == inputs and done.get("outputs") == _outputs(run.folder, stage):
        _others_end(run)
        run.console.print(f"{stage.name}: up to date")
        return digest([inputs, done["outputs"]]), False
    run.console.print(f"{stage.name} …")
    run.processes.barrier()  # each has read the status before one changes it
    if run.processes.is_first:
        _forget(run, status, stage)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    commit, dirty = source_state(Path(__file__).parent)
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    with _blaming(stage.name, stage.exit_code):
        stage.execute(run)
    outputs = _outputs(run.folder, stage)
    status["recipe_id"] = run.recipe.id
    status["stages"][stage.name] = {
        "inputs": inputs,
        "outputs": outputs,
        "started": started,
        "commit": commit,
        "dirty": dirty,
        "wall_s": round(time.perf_counter() - wall, 2),
        "cpu_s": round(sum(os.times()[:4]) - cpu, 2),
    }
    write_json(run.folder / "status.json", status)
    return digest([inputs, outputs]), True


def _forget(run: Run, status: dict[str, Any], stage: Stage) -> None:
    """What this stage and those after it found before is of other inputs: it must not stand beside new results.

    This stage's own files stay until they are replaced, and a training goes on from its checkpoints.
    """
    stale = STAGES[[s.name for s in STAGES].index(stage.name) :]
    for old in stale:
        status["stages"].pop(old.name, None)
        for name in old.outputs if old is not stage else ():
            (run.folder / name).unlink(missing_ok=True)
    kept = {k: v for k, v in run.evaluation().items() if k not in {old.measured for old in stale}}
    measured = kept.keys() - {"classes"}  # without any, the classes are those of a network that is gone
    write_json(run.folder / "status.json", status)
    write_json(run.folder / "evaluation.json", kept if measured else {})


def _outputs(folder: Path, stage: Stage) -> dict[str, str] | None:
    """sha256 of each file that the stage leaves; None when one is missing."""
    files = [folder / name for name in stage.outputs]
    if not all(file.is_file() for file in files):
        return None
    return {name: sha256(file) for name, file in zip(stage.outputs, files, strict=True)}


def sha256(file: Path) -> str:
    with file.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
