"""Stage: give the trained network integer numbers, once for each quantization."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from xvision.pipeline import train
from xvision.pipeline.stage import Left, Measured, Sections, Stage, torch_version
from xvision.recipes.schema import digest
from xvision.runs.files import BEST, calibration_of, quant_section, quantized, quantizing, rungs_of

if TYPE_CHECKING:
    from xvision.quant.context import Context
    from xvision.quant.quality import Quality
    from xvision.runs.run import Run


def stage(name: str) -> Stage:
    """That of the quantization of this name."""
    return Stage(
        "quantize",
        lambda run: _execute(run, name),
        keys=(),
        exit_code=5,
        needed=(quantized(name), quant_section(name)),
        network=name,
        after=(train.STAGE.name,),
        quantizes=lambda run: _section(run, name),
        measured=lambda run: _measured(run, name),
        version=torch_version,
        several=True,
    )


def _execute(run: Run, name: str) -> Left:
    import yaml

    from xvision.quant.quantize import quantize_with
    from xvision.quant.state import save

    made = quantize_with(context_of(run, name), run.quantizations[name].method)
    if run.processes.is_first:
        save(made, run.files.new(quantized(name)))
        run.files.write(quant_section(name), yaml.safe_dump(_section(run, name)[name], sort_keys=False))
        _write_quality(run, name, made.meta.get("quality"))
    run.changed()
    return Left(gone=(quantizing(name),))


def context_of(run: Run, name: str) -> Context:
    """What a method gets for the quantization of this name."""
    from xvision.quant.context import Context

    quant = run.quantizations[name]
    return Context(
        network=run.model,
        scheme=quant.numbers(),
        calibration=run.calibration,
        task=run.task,
        train_loader=lambda batch_size: run.loader("train", train=True, shared=True, batch_size=batch_size),
        val_loader=lambda: run.loader("val", shared=True),
        judging=run.judging,
        num_train=len(set(run.split("train").names)),
        settings=quant,
        train=run.recipe.train,
        folder=_folder(run, name),
        program=run.program,
        seed=run.recipe.seed,
        console=run.console,
        processes=run.processes,
    )


def _section(run: Run, name: str) -> Sections:
    return {name: run.quantizations[name].model_dump(mode="json")}


def _write_quality(run: Run, name: str, quality: Quality | None) -> None:
    """Which images it was found on, and what each step gave; nothing of methods that do not say."""
    if quality is not None:
        run.files.write(calibration_of(name), run.calibrated_on(quality.num_fitted + quality.num_judged))
        run.files.write(rungs_of(name), [asdict(one) for one in quality.rungs])


def _folder(run: Run, name: str) -> Path:
    """Where a method may resume after a kill: of this network and these settings alone."""
    trained = run.files.status.stages[train.STAGE.name]
    return run.folder / quantizing(name) / digest([_section(run, name)[name], trained.outputs[BEST]])


def _measured(run: Run, name: str) -> Measured:
    from xvision.export.executors import executor

    yield name, executor.simulation().build(run.network(name))
