"""Pooling in the forms that every runtime computes alike."""

from __future__ import annotations

from operator import getitem

import torch
from torch import fx

from xvision.graph.operators import arguments, aten, packet
from xvision.graph.simplify import store
from xvision.graph.surgery import bypass


def plain_pools(graph: fx.GraphModule) -> None:
    """Adaptive pools become means or plain ones, windows that reach over the border get an explicit one."""
    for node in list(graph.graph.nodes):
        called = packet(node)
        if called is aten.adaptive_avg_pool2d:
            _adaptive(node)
        elif called is aten.adaptive_max_pool2d:
            _adaptive_max(node)
        elif called is aten.max_pool2d:
            _max_pool(graph, node)
        elif called is aten.avg_pool2d:
            _avg_pool(graph, node)


def _adaptive(node: fx.Node) -> None:
    """To one pixel it is a mean, to a divisor of the size an average pool, to the same size nothing."""
    source = node.args[0]
    assert isinstance(source, fx.Node)
    before, after = source.meta["val"].shape[-2:], node.meta["val"].shape[-2:]
    if before == after:
        bypass(node)
    elif tuple(after) == (1, 1):
        node.target, node.args, node.kwargs = aten.mean.dim, (source, [-2, -1], True), {}
    elif all(b % a == 0 for b, a in zip(before, after, strict=True)):
        kernel = [int(b // a) for b, a in zip(before, after, strict=True)]
        node.target, node.args, node.kwargs = aten.avg_pool2d.default, (source, kernel, kernel), {}


def _adaptive_max(node: fx.Node) -> None:
    """To one pixel it is the largest value, to a divisor of the size a max pool; with places it stays."""
    source = node.args[0]
    assert isinstance(source, fx.Node)
    before, after = source.meta["val"].shape[-2:], node.meta["val"][0].shape[-2:]
    divides = all(b % a == 0 for b, a in zip(before, after, strict=True))
    if not divides or any(user.target is not getitem or user.args[1] != 0 for user in node.users):
        return
    for user in list(node.users):
        if tuple(after) == (1, 1):
            user.target, user.args = aten.amax.default, (source, [-2, -1], True)
        else:
            kernel = [int(b // a) for b, a in zip(before, after, strict=True)]
            user.target, user.args = aten.max_pool2d.default, (source, kernel, kernel)


def _window(node: fx.Node) -> list[tuple[int, int, int, int, int, int]]:
    """Of each direction: size before and after, kernel, stride, padding, dilation."""
    given = arguments(node)
    source = given["self"]
    kernel = _two(given["kernel_size"])
    stride = _two(given["stride"] or kernel)
    padding, dilation = _two(given["padding"]), _two(given.get("dilation", 1))
    sizes = zip(source.meta["val"].shape[-2:], node.meta["val"].shape[-2:], strict=True)
    return [
        (int(before), int(after), k, s, p, d)
        for (before, after), k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True)
    ]


def _beyond(window: tuple[int, int, int, int, int, int]) -> int:
    """Pixels that the last window of a pool with `ceil_mode` sees beyond the padding."""
    before, after, kernel, stride, padding, dilation = window
    return max(0, (after - 1) * stride + dilation * (kernel - 1) + 1 - before - 2 * padding)


def _two(value: int | list[int]) -> list[int]:
    values = [value] if isinstance(value, int) else list(value)
    return values * 2 if len(values) == 1 else values


def _max_pool(graph: fx.GraphModule, node: fx.Node) -> None:
    """In place of `ceil_mode`, the last pixels repeated: they are in the last window, so its maximum stays.

    Torch leaves out a window that would begin in the padding, ONNX does not.
    """
    given, windows = arguments(node), _window(node)
    if not given["ceil_mode"] or any(w[5] != 1 for w in windows):
        return
    down, across = (_beyond(window) for window in windows)
    source = given["self"]
    if down or across:
        with graph.graph.inserting_before(node):
            source = graph.graph.call_function(
                aten.pad.default, (source, [0, across, 0, down]), {"mode": "replicate"}
            )
        source.meta = dict(given["self"].meta)
        source.meta["val"] = aten.pad.default(given["self"].meta["val"], [0, across, 0, down], "replicate")
    _, _, kernel, stride, padding, dilation = zip(*windows, strict=True)
    node.args, node.kwargs = (source, [*kernel], [*stride], [*padding], [*dilation], False), {}


def _avg_pool(graph: fx.GraphModule, node: fx.Node) -> None:
    """With zeros around the map in place of padding, and the counts of real pixels as a product where they differ."""
    given, windows = arguments(node), _window(node)
    beyond = [_beyond(window) for window in windows]
    padding = [window[4] for window in windows]
    divisor, source = given["divisor_override"], given["self"]
    kernel, stride = [w[2] for w in windows], [w[3] for w in windows]
    if not any(beyond) and not any(padding) and divisor is None:
        node.args, node.kwargs = (source, kernel, stride), {}
        return
    (top, left), (down, across) = padding, beyond
    pad = [left, left + across, top, top + down]
    with graph.graph.inserting_before(node):
        padded = graph.graph.call_function(aten.pad.default, (source, pad))
        pool = graph.graph.call_function(aten.avg_pool2d.default, (padded, kernel, stride))
    padded.meta = dict(source.meta)
    padded.meta["val"] = aten.pad.default(source.meta["val"], pad)
    pool.meta = dict(node.meta)
    # what torch gives for a map of ones against what the plain pool gives for it says how the counts differ
    ones = torch.ones(1, 1, windows[0][0], windows[1][0])
    theirs = aten.avg_pool2d.default(
        ones, kernel, stride, padding, given["ceil_mode"], given["count_include_pad"], divisor
    )
    ours = aten.avg_pool2d.default(aten.pad.default(ones, pad), kernel, stride)
    ratio = theirs / ours
    result = pool
    if not torch.equal(ratio, torch.ones_like(ratio)):
        factor = float(ratio.flatten()[0])
        with graph.graph.inserting_before(node):
            other = factor if bool((ratio == factor).all()) else store(graph, f"{node.name}_counts", ratio)
            result = graph.graph.call_function(aten.mul.Tensor, (pool, other))
        result.meta = dict(node.meta)
    node.replace_all_uses_with(result)
    graph.graph.erase_node(node)
