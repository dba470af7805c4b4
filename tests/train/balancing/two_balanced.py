"""Run twice, as two processes: weights and gradients of both against one process with the whole batch."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from xvision.train.balancing import balancing

TASKS = ("a", "b")
SETTINGS = {"gradnorm": {"lr": 0.05}, "uncertainty": {}, "pcgrad": {}, "dwa": {}}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.shared = nn.Linear(3, 4)
        self.heads = nn.ModuleDict({name: nn.Linear(4, 1) for name in TASKS})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.shared(x).tanh()
        return {name: head(features) for name, head in self.heads.items()}


def trained(name: str, rank: int, world: int, *, partial: bool = False) -> dict[str, list[float]]:
    """Weights of the tasks and of the network after six steps of two batches, on this process's share of each.

    With `partial` the second process has no labels in every third step.
    """
    net, balance = Net(), balancing.part(name, SETTINGS[name]).build(TASKS)
    network = DistributedDataParallel(net) if world > 1 else net
    shared = list(net.shared.parameters())
    draw = torch.Generator().manual_seed(1)
    for step in range(6):
        for _ in range(2):
            x = torch.randn(8, 3, generator=draw)[rank::world]
            out = network(x)
            losses = {
                "a": (out["a"] - x[:, :1]).square().mean(),
                "b": (out["b"] + 3 * x[:, :1]).square().mean(),
            }
            if partial and rank and step % 3 == 0:
                losses = {}
            loss = balance.combine(losses, shared if balance.scope != "none" else ())
            loss = loss + sum(y.sum() * 0 for name, y in out.items() if name not in losses)
            (loss / 2).backward()
        with torch.no_grad():
            for parameter in net.parameters():
                assert parameter.grad is not None
                parameter -= 0.05 * parameter.grad
                parameter.grad = None
        balance.step()
        if step % 2:
            balance.end_epoch()
    flat = torch.cat([p.detach().flatten() for p in net.parameters()])
    return {"weights": balance.weights.tolist(), "network": flat.tolist()}


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    said = {"alone": {name: trained(name, 0, 1) for name in SETTINGS}} if rank == 0 else {}
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    said["together"] = {name: trained(name, rank, 2) for name in SETTINGS}
    said["partial"] = {name: trained(name, rank, 2, partial=True) for name in SETTINGS}
    (folder / f"{rank}.json").write_text(json.dumps(said))
    dist.barrier()  # neither leaves while the other still talks
    dist.destroy_process_group()
    os._exit(0)  # gloo's threads may abort an interpreter that ends beside them


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
