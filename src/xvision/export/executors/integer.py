"""The integer reference: a quantized network computed in whole numbers, layer by layer, as a device does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from xvision.export.contract import Computed
from xvision.export.executors import executor
from xvision.export.executors.pytorch import contiguous
from xvision.export.executors.simulation import Simulation
from xvision.quant.integer.network import IntegerNetwork
from xvision.quant.islands import FloatOperator


class Integer(Simulation):
    """A quantized network as it is when this is made, on the CPU: for proof, as float kernels are many times faster."""

    name = "integer"

    def __init__(self, network: nn.Module) -> None:
        super().__init__(network)
        self._integers = IntegerNetwork(network)
        self.device = torch.device("cpu")

    def outputs(self, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
        return self.run(inputs)[0]

    def each_operator(self, inputs: tuple[Tensor, ...], codes: Mapping[str, Tensor]) -> Computed:
        outputs, own = self._integers.run(inputs, codes)
        return contiguous(outputs), own

    def computed_in_float(self) -> Sequence[FloatOperator]:
        return self._integers.floats


@executor
def integer(network: nn.Module) -> Integer:
    """A quantized network in integers only: codes, sums and requantization as on a device."""
    return Integer(network)
