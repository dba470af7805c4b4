"""Run twice, as two processes: what DDP does to a quantized network, and a method that trains."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from tests.quant.crash import Crash, crashing
from tests.quant.tiny_context import tiny_context
from xvision.quant.insert import prepare
from xvision.quant.methods import method
from xvision.quant.methods.ptq import ptq
from xvision.train.processes import init

QAT = method.part("qat", {"epochs": 2, "ema": 0.0, "lr": 1e-3, "threshold_lr": 0.05})


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    processes = init()
    rank = processes.rank
    context = tiny_context(folder / "qat", processes)
    (images,) = next(iter(context.calibration()))
    # the second process has no ranges, and scales of zero, until it hears of those of the first
    q = ptq(context) if rank == 0 else prepare(context.network, (images,), context.scheme)
    DistributedDataParallel(q)
    with torch.no_grad():
        save_file({"heard": q(images)["class"]}, folder / f"heard-{rank}.safetensors")
    _save(QAT.build(context), folder / f"trained-{rank}.safetensors")
    stopped = tiny_context(folder / "stopped", processes)
    with contextlib.suppress(Crash):
        QAT.build(crashing(stopped, 8))  # steps 6 and 7 are lost
    processes.barrier()
    _save(QAT.build(stopped), folder / f"resumed-{rank}.safetensors")
    processes.barrier()


def _save(q: nn.Module, file: Path) -> None:
    save_file({key: value.contiguous() for key, value in q.state_dict().items()}, file)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
