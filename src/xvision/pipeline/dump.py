"""The integers of a run's quantized network on the first validation images, in a folder (see `export.dump`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xvision.console import Console
from xvision.pipeline.verify import VerificationError
from xvision.runs.folder import claim
from xvision.runs.names import FLOAT, answering
from xvision.runs.run import Run

NUM_IMAGES = 2


@contextmanager
def dumped(run: str, quantization: str | None, folder: Path, console: Console) -> Iterator[None]:
    """Write the dump once what is done in here has proved the run, or found it wrong: then it is wanted most.

    It is of the `quantization` named, else of the one that answers for the run.

    Raises: ValueError if the folder holds something else.
    """
    claim(folder, "dump")
    try:
        yield
    except VerificationError:
        _write(Run(run), quantization, folder, console)
        raise
    _write(Run(run), quantization, folder, console)


def _write(run: Run, quantization: str | None, folder: Path, console: Console) -> None:
    from xvision.export.dump import dump
    from xvision.export.executors import executor

    name = quantization or answering(run.networks)
    assert name != FLOAT, "it is verified"
    network = run.network(name)
    executors = [executor.simulation().build(network), executor.integer().build(network)]
    files = [run.files.checked(run.exported(name, one)) for one in run.formats(name)]
    executors += [one.executor(file) for one, file in zip(run.formats(name), files, strict=True)]
    images = tuple(plane[:NUM_IMAGES] for plane in next(run.planes("val")))
    console.print(f"dump  {dump(network, executors, images, folder)}")
