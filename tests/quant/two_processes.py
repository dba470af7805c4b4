"""Run twice, as two processes: what DDP does to a quantized network, and a method that trains."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch.nn.parallel import DistributedDataParallel

from tests.quant.qat import qat
from tests.quant.tiny_context import tiny_context
from xvision.quant.insert import prepare
from xvision.quant.methods.ptq import ptq
from xvision.train.processes import Processes


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    context = tiny_context(folder / "qat", Processes(rank, 2))
    (images,) = next(iter(context.calibration()))
    # the second process has no ranges, and scales of zero, until it hears of those of the first
    q = ptq(context) if rank == 0 else prepare(context.network, (images,), context.scheme)
    DistributedDataParallel(q)
    with torch.no_grad():
        save_file({"heard": q(images)["class"]}, folder / f"heard-{rank}.safetensors")
    trained = qat(context, steps=6)
    save_file(trained.state_dict(), folder / f"trained-{rank}.safetensors")
    dist.barrier()  # the first one's checkpoint is written, and neither leaves while the other still talks
    resumed = qat(tiny_context(folder / "stopped", Processes(rank, 2)), steps=3)  # the third step is lost
    dist.barrier()
    resumed = qat(tiny_context(folder / "stopped", Processes(rank, 2)), steps=6)
    save_file(resumed.state_dict(), folder / f"resumed-{rank}.safetensors")
    dist.barrier()
    dist.destroy_process_group()
    os._exit(0)  # gloo's threads may abort an interpreter that ends beside them


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
