"""Run by torchrun: trains with this process's share of the data, and says what it wrote and counted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tiny import TinyNet, places, tiny_loader, tiny_task
from torch import Tensor

from xvision.console import Console
from xvision.train.loop import evaluate, train
from xvision.train.processes import Processes, init
from xvision.train.settings import Train

SETTINGS = Train(epochs=4, batch_size=4, optimizer="sgd:0.05", threads=1, log_every=1)


class Watched(TinyNet):
    """Notes the averages of its BatchNorm at each validation."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[list[float]] = []

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        if not self.training:
            self.seen.append(self.norm.running_mean.tolist())
        return super().forward(image)


def averages(folder: Path, processes: Processes) -> list[list[float]]:
    """What validations used while a network with a BatchNorm was trained."""
    shares = {"rank": processes.rank, "world": processes.world}
    model = Watched()
    train(
        model,
        tiny_task(),
        tiny_loader(batch_size=4, **shares),
        tiny_loader(12, train=False, **shares),
        SETTINGS.model_copy(update={"epochs": 2}),
        places(folder),
        seed=0,
        console=Console(quiet=True),
        processes=processes,
    )
    return model.seen


def main(folder: Path) -> None:
    processes = init()
    rank, world = processes.rank, processes.world
    written: list[str] = []

    def watch(event: str, args: tuple[Any, ...]) -> None:
        if event == "open" and str(folder) in str(args[0]) and any(c in str(args[1]) for c in "wax+"):
            written.append(str(args[0]))

    sys.addaudithook(watch)
    trained = train(
        TinyNet(norm=False, dropout=0),
        tiny_task(),
        tiny_loader(batch_size=4, rank=rank, world=world),
        tiny_loader(13, train=False, rank=rank, world=world),
        SETTINGS,
        places(folder),
        seed=0,
        console=Console(),
        processes=processes,
    )
    model = TinyNet()
    shared = tiny_loader(13, train=False, rank=rank, world=world)
    result = evaluate(model, tiny_task(), shared, processes=processes)
    processes.barrier()
    counted_alone = 0
    if processes.is_first:  # the other process is in the group still, and takes no part
        alone = evaluate(model, tiny_task(), tiny_loader(13, train=False))
        counted_alone = sum(map(sum, alone.confusions["class"]))
    processes.barrier()
    said = {
        "counted_alone": counted_alone,
        "written": len(written),
        "best": trained.best,
        "counted": sum(map(sum, result.confusions["class"])),
        "metrics": result.metrics,
        "averages": averages(folder.with_name("with_norm"), processes),
    }
    Path(f"{folder}.rank{rank}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
