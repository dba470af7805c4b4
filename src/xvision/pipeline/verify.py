"""Stage: compare each file of a network, run by what runs such files, with the network that it was made from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from xvision.pipeline import export
from xvision.pipeline.stage import Left, Stage, torch_version
from xvision.runs.files import parity_of, quantized
from xvision.runs.names import FLOAT
from xvision.runs.record import ParityRow

if TYPE_CHECKING:
    from torch import Tensor

    from xvision.export.contract import Executor, Format
    from xvision.runs.run import Run

NUM_BATCHES = 4
INTEGER_SHARE = 8
"""One in so many images of a batch is computed by the integer reference, which is far slower than float kernels."""


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
    found = [] if network == FLOAT else list(_of_integers(run, network))
    found += _of_files(run, network)
    run.files.write(parity_of(network), [parity.model_dump(mode="json") for parity in found])
    return Left()


def _of_files(run: Run, network: str) -> Iterator[ParityRow]:
    """Each exported file against the network that it was made from."""
    from xvision.export.export import as_executor

    for one, runtime in _files(run, network):
        reference = as_executor(run.network(network))
        batches = islice(run.planes("val"), NUM_BATCHES)
        yield _row(network, run.exported(network, one), reference, runtime, batches)


def _of_integers(run: Run, network: str) -> Iterator[ParityRow]:
    """A quantized network's simulation against its integer reference, and that against files that round otherwise."""
    from xvision.export.executors import executor

    q = run.network(network)
    simulation, integers = executor.simulation().build(q), executor.integer().build(q)
    few = _few(run)
    yield _row(network, quantized(network), simulation, integers, few)
    for one, runtime in _files(run, network):
        if integers.tolerance_lsb or runtime.rounding != integers.rounding:
            yield _row(network, run.exported(network, one), integers, runtime, few)


def _few(run: Run) -> list[tuple[Tensor, ...]]:
    """The first images, so few that the integer reference adds little to the stage."""
    planes = next(run.planes("val"))
    return [tuple(plane[: max(1, len(plane) // INTEGER_SHARE)] for plane in planes)]


def _row(
    network: str, file: str, reference: Executor, candidate: Executor, batches: Iterable[Any]
) -> ParityRow:
    from xvision.export.verify import verify

    parity = verify(reference, candidate, batches)
    versions = dict.fromkeys((reference.version, candidate.version))
    about = {"network": network, "file": file, "version": ", ".join(versions)}
    return ParityRow.model_validate(parity.to_dict() | about)


def _files(run: Run, network: str) -> Iterator[tuple[Format, Executor]]:
    for one in run.formats(network):
        yield one, one.executor(run.files.checked(run.exported(network, one)))


def check(run: Run, networks: Iterable[str]) -> None:
    """Raise VerificationError for what the last verification of networks has found wrong."""
    for parity in run.files.parity:
        if parity.network in networks and not parity.ok:
            raise VerificationError(
                f"verify: {run.folder / parity.file} computes something else than its {parity.reference}: "
                f"{_found(parity)}; see {run.folder / parity_of(parity.network)}"
            )


def _found(parity: ParityRow) -> str:
    if (alone := parity.operators) is not None:
        return (
            f"expected at most {alone.tolerance_lsb} LSB from each operator, got {alone.max_lsb}, first at "
            f"{alone.first_beyond}"
        )
    return f"expected at most {parity.tolerance_lsb} LSB, got {parity.max_lsb}, first at {parity.first_difference}"
