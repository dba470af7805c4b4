"""Trains as one of two processes; the second kills itself within the first epoch, the first says how it ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tiny import TinyNet, places, tiny_loader, tiny_task

from xvision.console import Console
from xvision.data.batches import Batch
from xvision.train.errors import PeerError
from xvision.train.loop import train
from xvision.train.processes import init
from xvision.train.settings import Train


def main(folder: Path) -> None:
    processes = init()
    loader = tiny_loader(batch_size=4, rank=processes.rank, world=2)
    given = loader.epoch

    def epoch(number: int, start_batch: int = 0, sizes: Any = None) -> Iterator[Batch]:
        for i, batch in enumerate(given(number, start_batch)):
            if i == 2 and not processes.is_first:
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    loader.epoch = epoch  # type: ignore[method-assign]
    val = tiny_loader(13, train=False, rank=processes.rank, world=2)
    settings = Train(epochs=4, batch_size=4, threads=1)
    try:
        train(
            TinyNet(),
            tiny_task(),
            loader,
            val,
            settings,
            places(folder),
            seed=0,
            console=Console(),
            processes=processes,
        )
    except PeerError as e:
        print(e)
        sys.exit(e.exit_code)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
