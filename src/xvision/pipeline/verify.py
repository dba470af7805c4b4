"""Stage: compare each exported file, run by what runs such files, with the network that it was made from."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from xvision.pipeline.stage import Left, Measured, Stage, torch_version
from xvision.runs.files import PARITY
from xvision.runs.record import ParityRow

if TYPE_CHECKING:
    from xvision.export.contract import Executor, Format
    from xvision.runs.run import Run

NUM_BATCHES = 4


class VerificationError(ValueError):
    """A file computes something else than its network; `exit_code` is what the command returns."""

    exit_code = 6


def _execute(run: Run) -> Left:
    from xvision.export.export import as_executor
    from xvision.export.verify import verify

    found = []
    for one, runtime in _files(run):
        reference = as_executor(run.network(one.network))
        parity = verify(reference, runtime, islice(run.planes("val"), NUM_BATCHES))
        versions = f"{reference.version}, {runtime.version}"
        about = {"network": one.network, "file": run.exported(one), "version": versions}
        found.append(ParityRow.model_validate(parity.to_dict() | about))
    run.files.write(PARITY, [parity.model_dump(mode="json") for parity in found])
    return Left()


def _files(run: Run) -> Iterator[tuple[Format, Executor]]:
    for one in run.formats():
        yield one, one.executor(run.files.checked(run.exported(one)))


def _measured(run: Run) -> Measured:
    for one, runtime in _files(run):
        yield one.network, runtime


def _version(run: Run) -> str:
    return ", ".join((torch_version(run), *(one.version for one in run.formats())))


def check(run: Run) -> None:
    """Raise VerificationError for what the last verification has found wrong."""
    for parity in run.files.parity:
        if not parity.ok:
            raise VerificationError(
                f"verify: {run.folder / parity.file} computes something else than its {parity.reference}: expected at "
                f"most {parity.tolerance_lsb} LSB, got {parity.max_lsb}, first at {parity.first_difference}; see "
                f"{run.folder / PARITY}"
            )


STAGE = Stage("verify", _execute, keys=(), exit_code=6, measured=_measured, version=_version, proves=True)
