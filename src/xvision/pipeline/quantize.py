"""Stage: give the trained network integer numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xvision.pipeline.stage import Left, Measured, Stage
from xvision.runs.files import QUANTIZED

if TYPE_CHECKING:
    from xvision.runs.run import Run

NETWORK = "int8"


def _execute(run: Run) -> Left:
    from xvision.quant.quantize import quantize
    from xvision.quant.state import save

    quant = run.recipe.quant
    quantized = quantize(run.model, run.calibration(), scheme=quant.scheme, method=quant.method)
    save(quantized, run.files.new(QUANTIZED))
    return Left()


def _measured(run: Run) -> Measured:
    from xvision.export.executors import executor

    yield NETWORK, executor.simulation().build(run.quantized)


def _version(run: Run) -> str:
    import torch

    return f"torch {torch.__version__}"


STAGE = Stage("quantize", _execute, keys=("quant",), exit_code=5, measured=_measured, version=_version)
