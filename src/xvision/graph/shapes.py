"""One pass over a graph that notes what each node gives: its shape, and the multiply-accumulates that it takes.

On torch's meta device a network runs without memory or arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

aten = torch.ops.aten


def note_shapes(graph: fx.GraphModule, *inputs: Tensor) -> None:
    """Run a graph once, where its inputs are, and fill the `meta` of its nodes.

    `shape` is that of a float tensor that a node gives (others have none); `macs` are those of convolutions,
    transposed convolutions, linear layers and matrix products.
    """
    walk = _Walk(graph)
    if any(x.is_meta for x in inputs):
        run_on_meta(walk, *inputs)
        return
    with in_eval_mode(graph), torch.no_grad():
        walk(*inputs)


class _Walk(nn.Module):
    """A graph that notes shapes and MACs when it runs."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, *inputs: Tensor) -> Any:
        with _MacCounter() as counter:
            return _Noting(self.graph, counter).run(*inputs)


class _Noting(fx.Interpreter):
    def __init__(self, graph: fx.GraphModule, counter: _MacCounter) -> None:
        super().__init__(graph)
        self._counter = counter

    def run_node(self, n: fx.Node) -> Any:
        before = self._counter.macs
        result = super().run_node(n)
        n.meta["macs"] = self._counter.macs - before
        n.meta.pop("shape", None)
        if isinstance(result, Tensor) and result.is_floating_point():
            n.meta["shape"] = tuple(result.shape)
        return result


class _MacCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up multiply-accumulates by torch's own table, which gives flops, two for each.

    Not torch's FlopCounterMode: it takes twice as long, because it tries to decompose every operator.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        flops: Callable[..., int] | None = flop_registry.get(func.overloadpacket)
        if flops is not None:
            self.macs += flops(*args, **(kwargs or {}), out_val=out) // 2
        elif func.overloadpacket in _MACS:
            self.macs += _MACS[func.overloadpacket](*args)
        return out


def _attention(query: Tensor, key: Tensor, value: Tensor, *_: Any) -> int:
    """Scores of each query and key, and the sums of values by these."""
    return prod(query.shape[:-1]) * key.shape[-2] * (query.shape[-1] + value.shape[-1])


def _recurrent(steps: Tensor, of_input: Tensor, of_state: Tensor, *_: Any) -> int:
    """The gates of one layer in one direction, at each step (T, B, C)."""
    return prod(steps.shape[:-1]) * (of_input.numel() + of_state.numel())


_MACS: dict[Any, Callable[..., int]] = {
    aten.mv: lambda matrix, _: prod(matrix.shape),
    aten.dot: lambda a, _: prod(a.shape),
    aten.addmv: lambda _, matrix, __: prod(matrix.shape),
    aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    aten.mkldnn_rnn_layer: _recurrent,
}
"""Those of products that torch's table lacks."""


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
