"""One network of all operators' cases, each behind layers of its own: one export for a scheme tests them all."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = SIDE = 8
Case = Callable[[Tensor, Tensor], Tensor] | nn.Module
"""What is done with a tensor of both signs and one that is not negative, both (B, 8, 8, 8)."""


class Behind(nn.Module):
    """A case behind two layers: one gives values of both signs, and one that ends in ReLU."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.signed, self.unsigned = nn.Conv2d(3, CHANNELS, 3, padding=1), nn.Conv2d(3, CHANNELS, 1)
        self.case = copy.deepcopy(case)
        for module in self.modules():
            if hasattr(module, "reset_parameters"):  # made where no seed was set
                module.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.case(self.signed(x), F.relu(self.unsigned(x)))
        return result


class On(nn.Module):
    """A layer on the tensor of both signs, or on the other one."""

    def __init__(self, layer: nn.Module, *, unsigned: bool = False) -> None:
        super().__init__()
        self.layer, self.unsigned = layer, unsigned

    def forward(self, signed: Tensor, unsigned: Tensor) -> Tensor:
        result: Tensor = self.layer(unsigned if self.unsigned else signed)
        return result


class Cases(nn.Module):
    """The cases of several operators; outputs and layers of each are called by `name_of`."""

    def __init__(self, cases: Mapping[str, Mapping[str, Case]]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.names: list[str] = []
        for operator, named in cases.items():
            for name, case in named.items():
                self.names.append(name_of(operator, name))
                self.add_module(self.names[-1], Behind(case))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {name: self.get_submodule(name)(x) for name in self.names}


def name_of(operator: str, case: str) -> str:
    """What the output of a case is called, and what its tensors' names begin with."""
    return f"{operator}__{case.replace(' ', '_')}__"
