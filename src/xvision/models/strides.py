"""At which resolution each stage of a network works: strides for small images, and fast-down for large ones.

A network halves the resolution several times; `strides` says for each time, from the stem on, whether it still
does (2) or keeps the resolution (1). Layers that halve the same resolution belong together, however many
branches there are; they are found by one run on the meta device. The original system calls this `strides` and
`fastdown`; it does not dilate what follows either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from xvision.models.probe import run_on_meta
from xvision.models.variants import ACTIVATIONS

PROBE_PX = 256  # divisible by every usual stride

Halving = tuple[int, str]  # which halving, 0 the stem's; the path of a module that does it


def _find_halvings(graph: fx.GraphModule, name: str, channels: int) -> list[Halving]:
    found: list[Halving] = []

    def hook(path: str) -> Any:
        def look(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
            before, after = args[0].shape[-2], out.shape[-2]
            if before == 2 * after:
                found.append((round(math.log2(PROBE_PX / before)), path))
            elif before > after:
                raise ValueError(
                    f"net.backbone.strides: {name} goes from 1/{PROBE_PX // before} to 1/{PROBE_PX // after} of the "
                    f"resolution in the single layer '{path}'; leave strides out, or choose another network"
                )

        return look

    strided = [(path, m) for path, m in graph.named_modules() if _stride(m) > 1]
    handles = [module.register_forward_hook(hook(path)) for path, module in strided]
    try:
        run_on_meta(graph, torch.empty(1, channels, PROBE_PX, PROBE_PX))
    finally:
        for handle in handles:
            handle.remove()
    return sorted(set(found))


def _stride(layer: Any) -> int:
    stride = getattr(layer, "stride", None) or 1
    return max(stride) if isinstance(stride, tuple) else int(stride)


def set_strides(graph: fx.GraphModule, name: str, channels: int, strides: Sequence[int]) -> None:
    """Keep the resolution wherever `strides` has a 1.

    Raises: ValueError that names the network and the stage it cannot do this at.
    """
    found = _find_halvings(graph, name, channels)
    stages = {index for index, _ in found}
    num_halvings = max(stages, default=-1) + 1
    if len(strides) != num_halvings or not set(strides) <= {1, 2}:
        raise ValueError(
            f"net.backbone.strides: expected {num_halvings} numbers, each 1 or 2 ({name} halves the resolution "
            f"{num_halvings} times, the first in its stem), came {tuple(strides)}"
        )
    functional = [i for i in range(num_halvings) if strides[i] == 1 and i not in stages]
    if functional:
        raise ValueError(
            f"net.backbone.strides: {name} cannot keep the resolution at stage {functional[0]}: no layer of its own "
            f"halves it there; set this stage to 2, or choose another network"
        )
    for index, path in found:
        if strides[index] == 1:
            _keep_resolution(graph, name, index, path)


def _keep_resolution(graph: fx.GraphModule, name: str, index: int, path: str) -> None:
    layer: Any = graph.get_submodule(path)
    kernel = layer.kernel_size if isinstance(layer.kernel_size, int) else layer.kernel_size[0]
    pools = isinstance(layer, nn.MaxPool2d | nn.AvgPool2d)
    if pools and kernel == 2:
        graph.set_submodule(path, nn.Identity())
    elif (pools or isinstance(layer, nn.Conv2d)) and kernel % 2:
        layer.stride = 1 if pools else (1, 1)
    else:
        raise ValueError(
            f"net.backbone.strides: {name} cannot keep the resolution at stage {index}: '{path}' is a "
            f"{type(layer).__name__} of size {kernel}; set this stage to 2, or choose another network"
        )


def add_fast_down(graph: fx.GraphModule, name: str) -> None:
    """Halve the resolution once more, by a 3x3 max-pool after the stem (its convolution, norm and activation).

    A level that is the stem's own output stays as it is, at stride 2.
    """
    (node,) = (n for n in graph.graph.nodes if n.op == "placeholder")
    stem = None
    while len(users := [user for user in node.users if user.op != "output"]) == 1:
        layer = graph.get_submodule(str(users[0].target)) if users[0].op == "call_module" else None
        if stem is None and isinstance(layer, nn.Conv2d):
            stem = users[0]
        elif stem is None or not _ends_stem(layer):
            break
        node = users[0]
    if stem is None:
        raise ValueError(
            f"net.backbone.fast_down: {name} does not begin with a convolution; choose another network"
        )
    graph.add_submodule("fast_down", nn.MaxPool2d(3, stride=2, padding=1))
    with graph.graph.inserting_after(node):
        pool = graph.graph.call_module("fast_down", (node,))
    node.replace_all_uses_with(pool, delete_user_cb=lambda user: user is not pool and user.op != "output")
    graph.recompile()


def _ends_stem(layer: nn.Module | None) -> bool:
    return isinstance(layer, nn.BatchNorm2d | nn.Identity) or type(layer).__name__ in ACTIVATIONS
