"""A method as somebody would add it, in one file: a short quantization-aware training that can be stopped."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import fx
from torch.nn.parallel import DistributedDataParallel

from xvision.data.batches import Batch
from xvision.data.loader import Loader
from xvision.quant.context import Context
from xvision.quant.methods.ptq import ptq
from xvision.train.checkpoint import Checkpoints, Manifest, fill, pack_optimizer, unpack_optimizer
from xvision.train.forward import forward, to_device
from xvision.train.training import seed_step


def qat(context: Context, *, steps: int = 8, lr: float = 0.002, save_every: int = 2) -> fx.GraphModule:
    """Quantization-aware training: the network of ptq, trained on through its rounding with the loss of its task."""
    task, loader, _ = context.labelled()
    assert context.folder is not None
    q = ptq(context, num_images=16)
    device = next(q.parameters()).device
    network = DistributedDataParallel(q) if context.processes.world > 1 else q
    optimizer = torch.optim.Adam(q.parameters(), lr)
    checkpoints = Checkpoints(context.folder)
    first = _resume(q, optimizer, checkpoints)
    batches = _batches(loader, first)
    for step in range(first, steps):
        seed_step(context.seed, step, context.processes.rank, device)
        batch = to_device(next(batches), device)
        out = forward(network, batch, context.network.inputs)  # type: ignore[arg-type]
        losses = [value for terms in task.losses(out, batch).values() for value in terms.values()]
        loss = torch.stack(losses).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if context.processes.is_first:
            context.console.print(f"step {step + 1} of {steps}: loss {loss.item():.4f}")
            if (step + 1) % save_every == 0:
                tensors, scalars = pack_optimizer(optimizer)
                checkpoints.save_last(Manifest("qat", step + 1, 0, scalars=scalars), q.state_dict(), tensors)
    return q


def _resume(q: fx.GraphModule, optimizer: torch.optim.Optimizer, checkpoints: Checkpoints) -> int:
    """Resume from the last checkpoint; the number of steps done."""
    found = checkpoints.load_last()
    if found is None:
        return 0
    manifest, weights, state = found
    fill(q, weights, checkpoints.last)
    unpack_optimizer(optimizer, state, manifest.scalars)
    return manifest.step


def _batches(loader: Loader, step: int) -> Iterator[Batch]:
    """The batches of all steps from `step` on."""
    while True:
        epoch, done = divmod(step, len(loader))
        for batch in loader.epoch(epoch, start_batch=done):
            yield batch
            step += 1
