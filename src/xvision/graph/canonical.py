"""A network in the plain form that quantization works on: a copied graph of simple operators for one input size.

Batch norms with built-in activation are split, "same" paddings become constants, what does nothing is dropped,
every use of a layer has its own copy, and outputs are named.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from timm.layers import BatchNormAct2d, Conv2dSame
from timm.models.vgg import ConvMlp
from torch import Tensor, fx, nn

from xvision.graph.operators import OUT_OF_PLACE, PaddedConv2d, operator
from xvision.graph.shapes import note_shapes
from xvision.graph.surgery import bypass, insert_module
from xvision.graph.trace import trace


def capture(module: nn.Module, example: Sequence[Tensor]) -> fx.GraphModule:
    """A copy of a network in plain form, in eval mode, for inputs of the shapes of `example`.

    The batch size stays free. Nodes have `shape` and `macs` in their `meta` (see `note_shapes`), the graph's
    `meta["inputs"]` are shape and type of each input. The result returns a dict; outputs of networks that return
    something else are called out0, out1, …

    Raises: ValueError if the network cannot be captured or does not take such inputs.
    """
    graph = trace(copy.deepcopy(module).eval())
    try:
        note_shapes(graph, *example)
    except Exception as error:  # whatever the network raises
        shapes = ", ".join("x".join(map(str, plane.shape)) for plane in example)
        raise ValueError(
            f"{type(module).__name__}: expected inputs that the network takes, it fails on {shapes} "
            f"({str(error).splitlines()[0]}); check number, size and channels of the planes"
        ) from error
    for node in list(graph.graph.nodes):
        _rewrite(graph, node, batch=example[0].shape[0])
    _name_outputs(graph)
    _copy_reused_modules(graph)
    graph.graph.eliminate_dead_code()
    graph.delete_all_unused_submodules()
    graph.recompile()
    note_shapes(graph, *example)
    graph.meta["inputs"] = [(list(x.shape), str(x.dtype).removeprefix("torch.")) for x in example]
    return graph


def _rewrite(graph: fx.GraphModule, node: fx.Node, batch: int) -> None:
    _leave_input_alone(node)
    modules = dict(graph.named_modules(remove_duplicate=False))
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    name = operator(node, modules)
    if isinstance(module, BatchNormAct2d):
        _split_norm_act(graph, node, module)
    elif isinstance(module, Conv2dSame) or (
        isinstance(module, nn.Conv2d) and isinstance(module.padding, str)
    ):
        graph.set_submodule(
            str(node.target), _constant_padding(module, node.all_input_nodes[0].meta["shape"])
        )
    elif isinstance(module, ConvMlp):
        _open_conv_mlp(graph, node, module)
    elif name in ("identity", "dropout"):
        bypass(node)
    elif name == "adaptive_avg_pool":
        _plain_pool(graph, node, modules)
    elif name == "reshape" and node.meta.get("shape", (0,))[0] == batch:
        node.op, node.target = "call_function", torch.reshape
        node.args, node.kwargs = (node.args[0], (-1, *node.meta["shape"][1:])), {}
    elif module is not None and getattr(module, "inplace", False):
        module.inplace = False


def _leave_input_alone(node: fx.Node) -> None:
    """Quantizers stand between operators, so one that changed its input would change another tensor."""
    if node.op == "call_function":
        assert callable(node.target)
        node.target = OUT_OF_PLACE.get(node.target, node.target)
    elif node.op == "call_method" and str(node.target).endswith("_"):
        node.target = str(node.target).removesuffix("_")
    if node.kwargs.get("inplace"):
        node.kwargs = {key: value for key, value in node.kwargs.items() if key != "inplace"}


def _split_norm_act(graph: fx.GraphModule, node: fx.Node, module: Any) -> None:
    norm = nn.BatchNorm2d(module.num_features, module.eps, module.momentum)
    norm.load_state_dict(module.state_dict())
    graph.set_submodule(str(node.target), norm.eval())
    if not isinstance(module.act, nn.Identity):
        module.act.inplace = False
        insert_module(graph, node, f"{node.target}_act", module.act)


def _open_conv_mlp(graph: fx.GraphModule, node: fx.Node, module: ConvMlp) -> None:
    """VGG's hidden layers, as convolutions over maps that are enlarged first if they are too small."""
    x = node.all_input_nodes[0]
    size = tuple(max(side, module.input_kernel_size) for side in x.meta["shape"][2:])
    with graph.graph.inserting_before(node):
        if size != x.meta["shape"][2:]:
            x = graph.graph.call_function(torch.nn.functional.adaptive_avg_pool2d, (x, size))
        for child in ("fc1", "act1", "fc2", "act2"):
            x = graph.graph.call_module(f"{node.target}.{child}", (x,))
    x.meta["shape"] = node.meta["shape"]
    node.replace_all_uses_with(x)
    graph.graph.erase_node(node)


def _constant_padding(conv: nn.Conv2d, shape: tuple[int, ...]) -> nn.Conv2d:
    """The zero padding that gives ceil(size / stride) outputs, the odd pixel on the right and bottom (TensorFlow)."""
    sides = []
    valid = conv.padding == "valid"
    for size, kernel, stride, dilation in zip(
        shape[2:], conv.kernel_size, conv.stride, conv.dilation, strict=True
    ):
        needed = (math.ceil(size / stride) - 1) * stride + (kernel - 1) * dilation + 1
        total = 0 if valid else max(needed - size, 0)
        sides.append((total // 2, total - total // 2))
    (top, bottom), (left, right) = sides
    even = top == bottom and left == right
    plain: nn.Conv2d = nn.Conv2d.__new__(nn.Conv2d if even else PaddedConv2d)
    plain.__dict__.update(conv.__dict__)  # same parameters, same settings, another way to pad
    if isinstance(plain, PaddedConv2d):
        plain.padding, plain.pad = (0, 0), (left, right, top, bottom)
    else:
        plain.padding = (top, left)
    return plain


def _plain_pool(graph: fx.GraphModule, node: fx.Node, modules: dict[str, nn.Module]) -> None:
    """Adaptive pooling to one pixel is a mean, to a divisor of the size an average pool, to the same size nothing."""
    source = node.all_input_nodes[0]
    before, after = source.meta["shape"][2:], node.meta["shape"][2:]
    if before == after:
        bypass(node)
    elif after == (1, 1):
        node.op, node.target = "call_function", torch.mean
        node.args, node.kwargs = (source, (2, 3), True), {}
    elif all(b % a == 0 for b, a in zip(before, after, strict=True)):
        kernel = tuple(b // a for b, a in zip(before, after, strict=True))
        node.op, node.target = "call_function", torch.nn.functional.avg_pool2d
        node.args, node.kwargs = (source, kernel), {}


def _name_outputs(graph: fx.GraphModule) -> None:
    output = graph.graph.output_node()
    (value,) = output.args
    if isinstance(value, dict):
        return
    values = [value] if isinstance(value, fx.Node) else value
    if not isinstance(values, list | tuple) or not all(isinstance(v, fx.Node) for v in values):
        raise ValueError(
            f"{type(graph).__name__}: expected a tensor, or a tuple, list or dict of tensors as output, "
            f"got {value}; wrap the network in a module that returns one of these"
        )
    output.args = ({f"out{i}": v for i, v in enumerate(values)},)


def _copy_reused_modules(graph: fx.GraphModule) -> None:
    seen: set[str] = set()
    for node in graph.graph.nodes:
        if node.op != "call_module":
            continue
        if node.target in seen:
            path = f"{node.target}_{node.name}"
            graph.add_submodule(path, copy.deepcopy(graph.get_submodule(node.target)))
            node.target = path
        seen.add(node.target)
