"""How large the sums of a layer get, in steps of its accumulator: float32 holds them exactly below 2^24."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, fx

from xvision.quant.fake import EXACT, QuantLayer


def sums_beyond_float32(
    graph: fx.GraphModule, batches: Callable[[], Iterable[tuple[Tensor, ...]]]
) -> dict[str, int]:
    """Layers of a quantized network whose sums may go beyond 2^24 on the first batch of images, and how far.

    What counts is the sum of the magnitudes, which no order of summing exceeds. Only layers that could exceed it on
    some image are looked at.
    """
    names = {m: name for name, m in graph.named_modules() if isinstance(m, QuantLayer)}
    suspects = [layer for layer in names if layer.accumulator_bound() >= EXACT]
    found: dict[str, int] = {}

    def look(layer: QuantLayer, args: tuple[Tensor, ...]) -> None:
        largest = int(layer.magnitudes(args[0]).max())
        if largest >= EXACT:
            found[names[layer]] = largest

    hooks = [layer.register_forward_pre_hook(look) for layer in suspects]
    try:
        if suspects:
            with torch.no_grad():
                graph(*next(iter(batches())))
    finally:
        for hook in hooks:
            hook.remove()
    return found
