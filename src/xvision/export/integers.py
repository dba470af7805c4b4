"""The integer form of a quantized network: stored codes, and two operators that become Q and DQ."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, fx, nn

from xvision.graph.operators import clip_bounds
from xvision.models.pixels import Pixels
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.ops import dequantize

REQUANTIZE = torch.ops.xvision.requantize.default


def is_quantized(network: nn.Module) -> bool:
    return any(isinstance(module, Quantizer) for module in network.modules())


class IntegerPixels(Pixels):
    """The pixels of an integer network's stream: its uint8 input is the first quantized tensor as it is."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self, pixels: Pixels, quantizer: Quantizer) -> None:
        super().__init__(pixels.format, pixels.stream, pixels.yuv_range)
        self.register_buffer("scale", quantizer.scale.clone())
        self.register_buffer("zero_point", quantizer.zero_point.to(torch.uint8))

    def forward(self, *planes: Tensor) -> Tensor:
        values: Tensor = dequantize(self.concat(*planes), self.scale, self.zero_point)
        return values


def code_type(quantizer: Quantizer) -> torch.dtype:
    signed = {8: torch.int8, 16: torch.int16}
    unsigned = {8: torch.uint8, 16: torch.uint16}
    return (signed if quantizer.numbers.signed else unsigned)[quantizer.numbers.bits]


def store_code_of_zero(quantizer: Quantizer) -> None:
    """Keep the zero point in the type of the codes too, as `code_of_zero`."""
    if not hasattr(quantizer, "code_of_zero"):
        quantizer.register_buffer("code_of_zero", quantizer.zero_point.to(code_type(quantizer)))


def to_integers(graph: fx.GraphModule) -> None:
    """Let a network compute with stored integers and call the two operators that become Q and DQ, in place."""
    for module in graph.modules():
        if isinstance(module, QuantLayer) and not module.frozen:
            module.freeze()
    modules = dict(graph.named_modules(remove_duplicate=False))
    for node in list(graph.graph.nodes):
        quantizer = modules[node.target] if node.op == "call_module" else None
        if not isinstance(quantizer, Quantizer):
            continue
        source = node.all_input_nodes[0]
        pixels = modules.get(str(source.target))
        if isinstance(pixels, Pixels):
            graph.set_submodule(str(source.target), IntegerPixels(pixels, quantizer))
            node.replace_all_uses_with(source)
            graph.graph.erase_node(node)
        else:
            _requantize(graph, node, quantizer, modules)
    graph.graph.eliminate_dead_code()
    graph.recompile()


def _requantize(
    graph: fx.GraphModule, node: fx.Node, quantizer: Quantizer, modules: dict[str, nn.Module]
) -> None:
    """Replace a quantizer's call by the operator, with the clip of the activation before it on the codes.

    ReLU stays where the codes begin at zero: runtimes fuse it. Any other clip would block the fusion as a float
    operator, and does not as an integer one.
    """
    low, high = quantizer.low, quantizer.high
    source = node.all_input_nodes[0]
    name = source.name
    bounds = clip_bounds(source, modules)
    # after another pair the clip stays a float operator: nothing would be between the two pairs
    after_quantizer = bounds is not None and source.all_input_nodes[0].target == REQUANTIZE
    if bounds is not None and not after_quantizer and quantizer.numbers.bits == 8:
        scale = float(quantizer.scale)
        floor, ceiling = (int(np.clip(np.round(b / scale), low, high)) for b in bounds)
        if (floor, ceiling) != (low, high) or bounds[1] != math.inf:
            low, high, source = floor, ceiling, source.all_input_nodes[0]
    path = str(node.target)
    store_code_of_zero(quantizer)
    with graph.graph.inserting_before(node):
        scale_node, zero_node = (graph.graph.get_attr(f"{path}.{name}") for name in ("scale", "code_of_zero"))
        zero = int(quantizer.zero_point)
        arguments = (source, scale_node, zero_node, low + zero, high + zero, name)
        call = graph.graph.call_function(REQUANTIZE, arguments)
    node.replace_all_uses_with(call)
    graph.graph.erase_node(node)
