"""Run a network without memory or arithmetic, to see shapes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def in_eval_mode(module: nn.Module) -> Iterator[None]:
    """Eval mode for a while: batch norm, for one, refuses the 1x1 maps of a single image in train mode."""
    training = [m for m in module.modules() if m.training]
    module.eval()
    try:
        yield
    finally:
        for m in training:
            m.training = True


def run_on_meta(module: nn.Module, *inputs: Tensor) -> Any:
    """What `module` returns for `inputs`, as tensors of torch's meta device; the module is not changed."""
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    on_meta = {key: value.detach().to("meta") for key, value in state.items()}
    with in_eval_mode(module), torch.no_grad():
        return torch.func.functional_call(module, on_meta, tuple(x.to("meta") for x in inputs))
