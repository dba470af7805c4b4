"""A network whose forward is a function, for idioms of which each fits into a line or two."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Written(nn.Module):
    """A few layers, and whatever a function does with them; others by keyword."""

    def __init__(self, forward: Callable[..., Any], **modules: nn.Module) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)
        self.side = nn.Conv2d(3, 8, 1)
        self.head = nn.Conv2d(8, 4, 1)
        self.gain = nn.Parameter(torch.tensor([0.2, 3.0]))
        for name, module in modules.items():
            self.add_module(name, module)
        self.written = forward

    def forward(self, x: Tensor) -> Any:
        return self.written(self, x)
