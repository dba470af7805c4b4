"""A network that learns: it and its moving average, its optimizer, and what one step does to them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from xvision.console import Console
from xvision.models.inputs import Inputs
from xvision.models.model import Model
from xvision.models.outputs import tensor_names
from xvision.train.balancing.contract import Balancing
from xvision.train.checkpoint import Tensors, fill, load_weights, pack_optimizer, unpack_optimizer
from xvision.train.ema import Ema
from xvision.train.forward import Batch, explaining_memory, forward, to_device
from xvision.train.hardware import make_accelerator, use_threads
from xvision.train.processes import Processes, share_buffers, synchronized
from xvision.train.regime import PLAIN, Regime
from xvision.train.settings import Train

if TYPE_CHECKING:
    from xvision.tasks.contract import Task


class Learner:
    """Everything of a training that is tensors.

    `inputs` is what the network takes, by default what its own `inputs` says.
    """

    def __init__(
        self,
        model: nn.Module,
        task: Task,
        settings: Train,
        seed: int,
        console: Console,
        processes: Processes,
        inputs: Inputs | None = None,
        regime: Regime = PLAIN,
    ) -> None:
        self.task, self.settings, self.seed = task, settings, seed
        self.processes, self.regime = processes, regime
        self.accelerator = make_accelerator(settings.precision)
        assert self.accelerator.num_processes == processes.world, processes
        self.device = self.accelerator.device
        use_threads(settings.threads, processes.local_world)

        self.model = model.to(self.device)
        self.inputs: Inputs = inputs or model.inputs  # type: ignore[assignment]
        if settings.channels_last:
            self.model.to(memory_format=torch.channels_last)
        self.model = synchronized(self.model, self.device, processes, console)
        self.ema = Ema(self.model, settings.ema) if settings.ema else None
        names = [part.name for part in task.parts]
        self.balancing: Balancing = settings.balancing.build(names).to(self.device)
        scope = self.balancing.scope
        self.shared: list[Tensor] = [] if scope == "none" else self.model.shared_parameters(scope)  # type: ignore[operator]
        self.optimizer = settings.optimizer.build(regime.groups(self.model, settings))
        self.lr: float = self.optimizer.param_groups[0]["lr"]
        self.network, self.optimizer = self.accelerator.prepare(self.model, self.optimizer)
        if processes.world > 1:
            self.network.broadcast_buffers = False  # a step reads no averages; each validation shares them
        if settings.compile:
            self.network = torch.compile(self.network)

    @property
    def averaged(self) -> nn.Module:
        """The network to use: its moving average, if there is one."""
        return self.ema.module if self.ema else self.model

    def learn(self) -> None:
        """Into training mode, but for what is frozen."""
        self.network.train()
        if self.settings.freeze_batch_norm:
            assert isinstance(self.model, Model), type(self.model)
            for module in self.model.backbone.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()

    # ---------------------------------------------------------------------------------------------- a step

    def update(self, batches: Sequence[Batch], step: int, num_steps: int, rate: float) -> dict[str, Tensor]:
        """Step number `step`, counted from 0, at a learning rate: the loss, and the terms of tasks that have labels."""
        seed_step(self.seed, step, self.processes.rank, self.device)
        self.regime.before_step(self.model, step, num_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * self.regime.rate(group, step / num_steps)
        found: dict[str, list[Tensor]] = {}
        for i, batch in enumerate(batches):
            last = i == len(batches) - 1
            with contextlib.nullcontext() if last else self.accelerator.no_sync(self.network):
                for name, value in self._backward(to_device(batch, self.device), 1 / len(batches)).items():
                    found.setdefault(name, []).append(value)
        if self.settings.clip_norm:
            self.accelerator.clip_grad_norm_(self.network.parameters(), self.settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.balancing.step()
        if self.ema:
            self.ema.update(self.model, step + 1)
        return {
            name: values[0] if len(values) == 1 else torch.stack(values).mean()
            for name, values in found.items()
        }

    def _backward(self, batch: Batch, share: float) -> dict[str, Tensor]:
        """Add the gradient of `share` times the loss; the loss and the terms of the tasks that have labels."""
        with explaining_memory(batch):
            out = forward(self.network, batch, self.inputs)
            losses = self.task.losses(out, batch)
            loss = self._balanced(out, losses)
            self.accelerator.backward(loss * share)
        terms = {
            f"{task}/{name}": value.detach()
            for task, of_task in losses.items()
            for name, value in of_task.items()
        }
        return {"loss": loss.detach(), **terms}

    def _balanced(self, out: Mapping[str, Tensor], losses: Mapping[str, Mapping[str, Tensor]]) -> Tensor:
        """The tasks' losses as one; outputs without a label get a gradient of zero, which DDP waits for."""
        names = (n for part in self.task.parts if part.name not in losses for n in tensor_names(part.outputs))
        silent = [out[name].sum() * 0 for name in names]
        totals = {task: _sum(list(terms.values())) for task, terms in losses.items()}
        return sum(silent, start=self.balancing.combine(totals, self.shared))

    # ---------------------------------------------------------------------------------------- its state, its end

    def share_buffers(self) -> None:
        """Give every process the buffers of the first, of the network that is measured."""
        share_buffers(self.averaged, self.processes)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that the next step depends on beside the weights, as tensors and as plain numbers."""
        tensors, scalars = pack_optimizer(self.optimizer)
        tensors |= {f"balancing.{name}": value for name, value in self.balancing.state_dict().items()}
        if self.ema:
            tensors |= {f"ema.{name}": value for name, value in self.ema.module.state_dict().items()}
        if self.accelerator.scaler is not None:
            scalars["scaler"] = self.accelerator.scaler.state_dict()
        return tensors, scalars

    def load(self, weights: Tensors, state: Tensors, scalars: Mapping[str, Any], file: Path) -> None:
        """Undo `state`; `file` is for messages."""
        fill(self.model, weights, file)
        unpack_optimizer(self.optimizer, state, scalars)
        if self.ema:
            fill(self.ema.module, _of("ema", state), file)
        fill(self.balancing, _of("balancing", state), file)
        if self.accelerator.scaler is not None:
            self.accelerator.scaler.load_state_dict(scalars["scaler"])

    def finish(self, best: Path) -> None:
        """Put the best weights into the model and take mixed precision off it."""
        self.accelerator.unwrap_model(self.network, keep_fp32_wrapper=False, keep_torch_compile=False)
        vars(self.model).pop("forward", None)  # accelerate puts the class's method there
        load_weights(self.model, best)


def _of(owner: str, state: Tensors) -> dict[str, Tensor]:
    return {k.removeprefix(f"{owner}."): v for k, v in state.items() if k.startswith(f"{owner}.")}


def _sum(terms: list[Tensor]) -> Tensor:
    return terms[0] if len(terms) == 1 else torch.stack(terms).sum()


def seed_step(seed: int, step: int, process: int, device: torch.device) -> None:
    """Seed what a step may draw (dropout, stochastic depth), so that no generator's state needs saving."""
    value = int(np.random.SeedSequence([seed, step, process]).generate_state(1, np.uint64)[0] >> 1)
    torch.default_generator.manual_seed(value)  # torch.manual_seed would visit every kind of device: 100 us
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(value)
