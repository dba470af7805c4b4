"""Stage: give the trained network integer numbers."""

from __future__ import annotations

from pathlib import Path

from xvision.pipeline import train
from xvision.pipeline.stage import Left, Measured, Stage, torch_version
from xvision.recipes.schema import digest
from xvision.runs.files import BEST, QUANTIZED, QUANTIZING
from xvision.runs.run import INT8, Run


def _execute(run: Run) -> Left:
    from xvision.quant.context import Context
    from xvision.quant.quantize import quantize_with
    from xvision.quant.state import save

    quant = run.recipe.quant
    context = Context(
        network=run.model,
        scheme=quant.scheme.build(),
        calibration=run.calibration,
        task=run.task,
        train_loader=lambda: run.loader("train", train=True, shared=True),
        val_loader=lambda: run.loader("val", shared=True),
        settings=quant,
        folder=_folder(run),
        program=run.program,
        seed=run.recipe.seed,
        console=run.console,
        processes=run.processes,
    )
    quantized = quantize_with(context, quant.method)
    if run.processes.is_first:
        save(quantized, run.files.new(QUANTIZED))
    run.changed()
    return Left(gone=(QUANTIZING,))


def _folder(run: Run) -> Path:
    """Where a method may resume after a kill: of this network and these settings alone."""
    trained = run.files.status.stages[train.STAGE.name]
    return run.folder / QUANTIZING / digest([run.recipe.deciding()["quant"], trained.outputs[BEST]])


def _measured(run: Run) -> Measured:
    from xvision.export.executors import executor

    yield INT8, executor.simulation().build(run.quantized)


STAGE = Stage(
    "quantize",
    _execute,
    keys=("quant",),
    exit_code=5,
    measured=_measured,
    version=torch_version,
    several=True,
)
