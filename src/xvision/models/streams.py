"""Streams: a further input with a stem of its own, joined with the image's where the resolution is a quarter.

The network is cut at its last level of stride 4 or less, or, if a max-pool brings it there as in ResNet, after that
pool. Each further stream has its own copy of everything before the cut, with weights of its own; the maps are
concatenated, and a lite 3x3 convolution brings them back to the channels of the cut, without a last activation. What
follows, and decoders that ask for this level, take the joined map; levels before the cut are the image's.

Source: the original system's networks of several inputs, which cut MobileNetV2 after 4 blocks (24 channels), ResNet50
after its max-pool (64) and RegNetX-800MF after its first stage (64); its other RegNetX do not work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from xvision.graph.shapes import note_shapes

MAX_STRIDE = 4
FUSE = "fuse"


def stem_of(stream: str) -> str:
    """What the names of a stream's own layers begin with; the rest of a name is the one in the image's stem."""
    return f"{stream}_stem."


def find_cut(graph: fx.GraphModule, name: str, strides: Sequence[int], image: Tensor) -> fx.Node:
    """The node of a whole network where streams are joined; `strides` are those of its levels.

    Shapes: image (1, C, H, W), what the network takes.

    Raises: ValueError that names the network if it has no such node that all else depends on.
    """
    (outputs,) = graph.graph.output_node().args
    assert isinstance(outputs, tuple)
    of_outputs = (*strides, MAX_STRIDE + 1)  # the last are class scores
    deep: list[Any] = [x for x, stride in zip(outputs, of_outputs, strict=True) if stride > MAX_STRIDE]
    pools = [pool for pool in _pools(graph, image) if _all_pass(graph, pool, deep)]
    levels: list[Any] = [level for level in outputs if level not in deep]
    found: list[fx.Node] = [*levels[-1:], *pools[-1:]]
    if not found or not _all_pass(graph, found[-1], deep):
        problem = "later layers take the image past it too" if found else "it has none"
        raise ValueError(
            f"net.inputs: a second input is joined at the last level of stride {MAX_STRIDE} or less, and {name} has "
            f"no such place ({problem}); set net.inputs=image, or choose another backbone"
        )
    return found[-1]


def _pools(graph: fx.GraphModule, image: Tensor) -> list[fx.Node]:
    """Max-pools whose output has a stride of 4 or less, in order."""
    note_shapes(graph, image.to("meta"))
    pools = [
        node
        for node in graph.graph.nodes
        if node.op == "call_module" and isinstance(graph.get_submodule(str(node.target)), nn.MaxPool2d)
    ]
    return [pool for pool in pools if pool.meta["shape"][-2] * MAX_STRIDE >= image.shape[-2]]


def _all_pass(graph: fx.GraphModule, cut: fx.Node, deep: Sequence[fx.Node]) -> bool:
    """Whether everything after the cut takes the image through it alone, the deep levels and class scores above all."""
    (image,) = (n for n in graph.graph.nodes if n.op == "placeholder")
    around = _reached(image, without=cut)
    mixed = [node for node in _reached(cut) & around if node.op != "output"]
    return not mixed and around.isdisjoint(deep)


def _reached(start: fx.Node, without: fx.Node | None = None) -> set[fx.Node]:
    """The nodes that depend on `start` by a way that does not lead through `without`."""
    found: set[fx.Node] = set()
    ahead = [start]
    while ahead:
        new = [user for user in ahead.pop().users if user is not without and user not in found]
        found.update(new)
        ahead += new
    return found


def fuse_streams(
    graph: fx.GraphModule,
    cut: fx.Node,
    others: Mapping[str, tuple[fx.GraphModule, fx.Node]],
    fuse: nn.Module,
) -> None:
    """Let `graph` take further inputs, one for each of `others`, in place.

    `others` are the same network, built for the other input, and its cut: what is before it becomes the stem, with
    the prefix `stem_of` to its names. `fuse` takes the concatenated maps.
    """
    place = cut.next
    maps = [cut]
    for stream, (other, other_cut) in others.items():
        (*_, last) = (n for n in graph.graph.nodes if n.op == "placeholder")
        with graph.graph.inserting_after(last):
            source = graph.graph.placeholder(stream)
        with graph.graph.inserting_before(place):
            maps.append(_copy_stem(graph, source, other, other_cut, stem_of(stream)))
    graph.add_submodule(FUSE, fuse)
    with graph.graph.inserting_before(place):
        joined = graph.graph.call_function(torch.cat, (maps,), {"dim": 1})
        fused = graph.graph.call_module(FUSE, (joined,))
    cut.replace_all_uses_with(fused, delete_user_cb=lambda user: user is not joined)
    graph.graph.lint()
    graph.recompile()


def _copy_stem(
    graph: fx.GraphModule, source: fx.Node, other: fx.GraphModule, cut: fx.Node, prefix: str
) -> fx.Node:
    """Everything that `cut` of `other` depends on, in `graph`, taking `source`; its last node."""
    needed = {cut}
    ahead = [cut]
    while ahead:
        new = [node for node in ahead.pop().all_input_nodes if node not in needed]
        needed.update(new)
        ahead += new
    copies: dict[fx.Node, fx.Node] = {}
    for node in other.graph.nodes:
        if node not in needed:
            continue
        if node.op == "placeholder":
            copies[node] = source
            continue
        copies[node] = graph.graph.node_copy(node, copies.__getitem__)
        if node.op in ("call_module", "get_attr"):
            copies[node].target = f"{prefix}{node.target}"
            _put(graph, f"{prefix}{node.target}", _get(other, str(node.target)))
    return copies[cut]


def _get(root: nn.Module, path: str) -> Any:
    parent, _, name = path.rpartition(".")
    return getattr(root.get_submodule(parent), name)


def _put(root: nn.Module, path: str, value: Any) -> None:
    """Store a module, parameter or buffer under a dotted name."""
    *parents, name = path.split(".")
    for parent in parents:
        if not hasattr(root, parent):
            root.add_module(parent, nn.Module())
        root = getattr(root, parent)
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        root.register_buffer(name, value)
    else:
        setattr(root, name, value)
