"""At which resolution each stage of a network works: strides for small images, and fast-down for large ones.

A network halves the resolution several times; `strides` says for each time, from the stem on, whether it still
does (2) or keeps the resolution (1). Layers that halve the same resolution belong together, however many
branches there are; they are found by one run on the meta device. The original system calls this `strides` and
`fastdown`; it does not dilate what follows either. `output_stride` does: kernels then see as far as before, so that
published weights still fit (Chen et al., "Rethinking Atrous Convolution", 2017, section 3.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import fx, nn

from xvision.graph.shapes import note_shapes
from xvision.models.variants import ACTIVATIONS

PROBE_PX = 256  # divisible by every usual stride
AS_PUBLISHED = 32  # the output stride that leaves a network as it is

Halving = tuple[int, str]  # which halving, 0 the stem's; the path of a module that does it


def _find_halvings(graph: fx.GraphModule, setting: str, name: str, channels: int) -> list[Halving]:
    try:
        note_shapes(graph, torch.empty(1, channels, PROBE_PX, PROBE_PX, device="meta"))
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"net.backbone.{setting}: {name} works at one size only; leave {setting} out, or choose another network"
        ) from error
    found: set[Halving] = set()
    for node in graph.graph.nodes:
        layer = graph.get_submodule(str(node.target)) if node.op == "call_module" else None
        if layer is None or not (
            _stride(layer) > 1 or any(layer.children())
        ):  # a leaf of several layers, or one
            continue
        before, after = node.all_input_nodes[0].meta["shape"][-2], node.meta["shape"][-2]
        if before == 2 * after:
            found.add((round(math.log2(PROBE_PX / before)), str(node.target)))
        elif before > after and _stride(layer) > 1:
            raise ValueError(
                f"net.backbone.{setting}: {name} goes from 1/{PROBE_PX // before} to 1/{PROBE_PX // after} of the "
                f"resolution in the single layer '{node.target}'; leave {setting} out, or choose another network"
            )
    return sorted(found)


def _stride(layer: Any) -> int:
    stride = getattr(layer, "stride", None) or 1
    return max(stride) if isinstance(stride, tuple) else int(stride)


def set_strides(graph: fx.GraphModule, name: str, channels: int, strides: Sequence[int]) -> None:
    """Keep the resolution wherever `strides` has a 1.

    Raises: ValueError that names the network and the stage it cannot do this at.
    """
    halvings = _find_halvings(graph, "strides", name, channels)
    count = _num(halvings)
    if len(strides) != count or not set(strides) <= {1, 2}:
        raise ValueError(
            f"net.backbone.strides: expected {count} numbers, each 1 or 2 ({name} halves the resolution "
            f"{count} times, the first in its stem), got {tuple(strides)}"
        )
    _keep_resolution(graph, "strides", name, halvings, [i for i in range(count) if strides[i] == 1])


def set_output_stride(graph: fx.GraphModule, name: str, channels: int, output_stride: int) -> None:
    """Halve down to 1 / `output_stride` of the image only, and dilate the kernels that follow instead.

    A layer that would have halved has the dilation of those before it, the next ones twice that; so does timm.

    Raises: ValueError that names the network if it cannot, or never halves as far.
    """
    if output_stride not in (1, 2, 4, 8, 16):
        raise ValueError(
            f"net.backbone.output_stride: expected 1, 2, 4, 8, 16 or {AS_PUBLISHED}, got {output_stride}"
        )
    halvings = _find_halvings(graph, "output_stride", name, channels)
    count = _num(halvings)
    if 1 << count <= output_stride:
        raise ValueError(
            f"net.backbone.output_stride: expected less than {1 << count}, the stride of {name}, got {output_stride}; "
            "leave it out"
        )
    stages = range(output_stride.bit_length() - 1, count)
    _keep_resolution(graph, "output_stride", name, halvings, stages)
    _dilate(graph, {path for stage, path in halvings if stage in stages})


def _num(halvings: list[Halving]) -> int:
    return max((stage for stage, _ in halvings), default=-1) + 1


def _keep_resolution(
    graph: fx.GraphModule, setting: str, name: str, halvings: list[Halving], stages: Sequence[int]
) -> None:
    if without := sorted(set(stages) - {stage for stage, _ in halvings}):
        raise ValueError(
            f"net.backbone.{setting}: {name} cannot keep the resolution at stage {without[0]}: no layer of its own "
            "halves it there; set this stage to 2, or choose another network"
        )
    for stage, path in halvings:
        if stage not in stages:
            continue
        layer: Any = graph.get_submodule(path)
        sides = getattr(layer, "kernel_size", 0)
        kernel = sides if isinstance(sides, int) else sides[0]
        pools = isinstance(layer, nn.MaxPool2d | nn.AvgPool2d)
        if pools and kernel == 2:
            graph.set_submodule(path, nn.Identity())
        elif (pools or isinstance(layer, nn.Conv2d)) and kernel % 2:
            layer.stride = 1 if pools else (1, 1)
        else:
            what = f"{type(layer).__name__} of size {kernel}" if kernel else type(layer).__name__
            raise ValueError(
                f"net.backbone.{setting}: {name} cannot keep the resolution at stage {stage}: '{path}' is a {what}; "
                "set this stage to 2, or choose another network"
            )


def _dilate(graph: fx.GraphModule, kept: set[str]) -> None:
    """Space the kernels after the layers that no longer halve, by 2 for each that lies before them."""
    spacing: dict[fx.Node, int] = {}
    for node in graph.graph.nodes:
        spacing[node] = before = max((spacing[source] for source in node.all_input_nodes), default=1)
        if node.op == "call_module":
            layer: Any = graph.get_submodule(str(node.target))
            if before > 1 and isinstance(layer, nn.Conv2d) and max(layer.kernel_size) > 1:
                layer.dilation = (before, before)
                if not isinstance(layer.padding, str):
                    layer.padding = tuple(before * pad for pad in layer.padding)
            if str(node.target) in kept:
                spacing[node] = 2 * before


def add_fast_down(graph: fx.GraphModule, name: str) -> None:
    """Halve the resolution once more, by a 3x3 max-pool after the stem (its convolution, norm and activation).

    A stem whose output is a level of stride 2 stays one, and the pool's output is the level after it.
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
    if (end := graph.graph.output_node()) in node.users:
        (levels,) = end.args
        assert isinstance(levels, tuple)
        after = levels.index(node) + 1
        end.args = ((*levels[:after], pool, *levels[after:]),)
    graph.recompile()


def _ends_stem(layer: nn.Module | None) -> bool:
    return isinstance(layer, nn.BatchNorm2d | nn.Identity) or type(layer).__name__ in ACTIVATIONS
