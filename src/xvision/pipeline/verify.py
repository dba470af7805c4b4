"""Stage: compare each file of a network, run by what runs such files, with the network that it was made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from xvision.pipeline import export
from xvision.pipeline.stage import Left, Stage, torch_version
from xvision.runs.files import parity_of
from xvision.runs.record import ParityRow

if TYPE_CHECKING:
    from xvision.export.contract import Executor, Format
    from xvision.runs.run import Run

NUM_BATCHES = 4


class VerificationError(ValueError):
    """A file computes something else than its network; `exit_code` is what the command returns."""

    exit_code = 6


def stage(network: str) -> Stage:
    """That of the files of the network of this name."""
    return Stage(
        "verify",
        lambda run: _execute(run, network),
        keys=(),
        exit_code=6,
        network=network,
        after=(export.stage(network).name,),
        applies=lambda run: bool(run.formats(network)),
        measured=lambda run: ((network, runtime) for _, runtime in _files(run, network)),
        version=lambda run: ", ".join((torch_version(run), *(one.version for one in run.formats(network)))),
        proves=True,
    )


def _execute(run: Run, network: str) -> Left:
    from xvision.export.export import as_executor
    from xvision.export.verify import verify

    found = []
    for one, runtime in _files(run, network):
        reference = as_executor(run.network(network))
        parity = verify(reference, runtime, islice(run.planes("val"), NUM_BATCHES))
        versions = f"{reference.version}, {runtime.version}"
        about = {"network": network, "file": run.exported(network, one), "version": versions}
        found.append(ParityRow.model_validate(parity.to_dict() | about))
    run.files.write(parity_of(network), [parity.model_dump(mode="json") for parity in found])
    return Left()


def _files(run: Run, network: str) -> Iterator[tuple[Format, Executor]]:
    for one in run.formats(network):
        yield one, one.executor(run.files.checked(run.exported(network, one)))


def check(run: Run, networks: Iterable[str]) -> None:
    """Raise VerificationError for what the last verification of networks has found wrong."""
    for parity in run.files.parity:
        if parity.network in networks and not parity.ok:
            raise VerificationError(
                f"verify: {run.folder / parity.file} computes something else than its {parity.reference}: expected at "
                f"most {parity.tolerance_lsb} LSB, got {parity.max_lsb}, first at {parity.first_difference}; see "
                f"{run.folder / parity_of(parity.network)}"
            )
