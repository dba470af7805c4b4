"""PyTorch: a network as it was trained, in float."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from xvision.export.contract import Executor, installed
from xvision.export.executors import executor
from xvision.graph.outputs import named
from xvision.graph.planes import plane_names


class PyTorch(Executor):
    """A network in eval mode, without gradients, on the device that it is on."""

    name = "pytorch"
    version = installed("torch")

    def __init__(self, network: nn.Module) -> None:
        self.network = network.eval()
        self.input_names = plane_names(network)
        first = next(iter(network.state_dict().values()), None)
        self.device = torch.device("cpu") if first is None else first.device

    def outputs(self, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        with torch.no_grad():
            return contiguous(named(self.network(*(plane.to(self.device) for plane in inputs))))


def contiguous(outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Outputs in the memory order that files give: a later resize would round otherwise in another order."""
    return {name: x.contiguous() for name, x in outputs.items()}


@executor
def pytorch(network: nn.Module) -> Executor:
    """A float network in PyTorch; it is put into eval mode."""
    return PyTorch(network)
