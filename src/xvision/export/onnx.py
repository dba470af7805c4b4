"""ONNX: a network as one file, with integer weights and a Q/DQ pair for each tensor if it is quantized."""

from __future__ import annotations

import copy
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from onnxscript import opset21 as op
from torch import Tensor, fx, nn

from xvision.files import replacing
from xvision.graph.operators import clip_bounds
from xvision.graph.trace import input_names, trace
from xvision.models.model import Model
from xvision.models.pixels import Pixels
from xvision.quant.fake import Quantizer, QuantLayer
from xvision.quant.ops import dequantize

CODES = ".codes"  # ends the name of the integer tensor of each quantizer
REQUANTIZE = torch.ops.xvision.requantize.default
OPSET = 21  # the first with 16-bit QuantizeLinear


def export(
    model: nn.Module,
    path: str | Path,
    *,
    inputs: Sequence[Tensor] | None = None,
    argmax: Sequence[str] = (),
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write a float or quantized network as an ONNX file, whole or not at all.

    `inputs` are example planes that fix sizes and types; our own networks and quantized ones know theirs. The batch
    size stays free. Inputs are called as the planes of the pixel format, or as the arguments of the network's forward;
    outputs as the keys of what it returns. A quantized network takes the uint8 planes as its first integer tensor and
    gives float scores. Outputs in `argmax` give instead the id of the largest score, uint8 with one channel.

    Raises: ValueError if the network cannot be exported or has no such output, OSError naming the file if it cannot be
    written.
    """
    path = Path(path)
    inputs = tuple(inputs or _known_inputs(model))
    network = copy.deepcopy(model).cpu().eval()
    if isinstance(network, fx.GraphModule) and _is_quantized(network):
        _to_integers(network)
    elif input_names(network):
        network = trace(network)  # its forward takes *planes, the exporter wants them named
    program = _translate(network, inputs)
    ClearMetadataAndDocStringPass()(program.model)  # it names source files of the exporting machine
    _unshare(program.model.graph)
    _name_scales(program.model.graph)
    _score_to_id(program.model.graph, argmax)
    for key, value in (metadata or {}).items():
        program.model.metadata_props[key] = value
    return _write(program.model, path)


def _known_inputs(model: nn.Module) -> Sequence[Tensor]:
    if isinstance(model, Model):
        return model.inputs.example(model.size)
    if isinstance(model, fx.GraphModule) and "inputs" in model.meta:
        return [
            torch.zeros(1, *shape[1:], dtype=getattr(torch, kind)) for shape, kind in model.meta["inputs"]
        ]
    raise ValueError(
        f"{type(model).__name__}: expected inputs=(tensor, …), example inputs of the size to export for"
    )


def _is_quantized(model: nn.Module) -> bool:
    return any(isinstance(m, Quantizer) for m in model.modules())


class IntegerPixels(Pixels):
    """The pixels of an integer network's stream: its uint8 input is the first quantized tensor as it is."""

    scale: Tensor
    zero_point: Tensor

    def __init__(self, pixels: Pixels, quantizer: Quantizer) -> None:
        super().__init__(pixels.format, pixels.stream)
        self.register_buffer("scale", quantizer.scale.clone())
        self.register_buffer("zero_point", torch.tensor(quantizer.zero_point, dtype=torch.uint8))

    def forward(self, *planes: Tensor) -> Tensor:
        values: Tensor = dequantize(self.join(*planes), self.scale, self.zero_point)
        return values


def _code_type(quantizer: Quantizer) -> torch.dtype:
    signed = {8: torch.int8, 16: torch.int16}
    unsigned = {8: torch.uint8, 16: torch.uint16}
    return (signed if quantizer.numbers.signed else unsigned)[quantizer.numbers.bits]


def _to_integers(graph: fx.GraphModule) -> None:
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
    from_lattice = bounds is not None and source.all_input_nodes[0].target == REQUANTIZE
    if bounds is not None and not from_lattice and quantizer.numbers.bits == 8:
        scale = float(quantizer.scale)
        floor, ceiling = (int(np.clip(np.round(b / scale), low, high)) for b in bounds)
        if (floor, ceiling) != (low, high) or bounds[1] != math.inf:
            low, high, source = floor, ceiling, source.all_input_nodes[0]
    path = str(node.target)
    if not hasattr(quantizer, "code_of_zero"):
        quantizer.register_buffer(
            "code_of_zero", torch.tensor(quantizer.zero_point, dtype=_code_type(quantizer))
        )
    with graph.graph.inserting_before(node):
        scale_node, zero_node = (graph.graph.get_attr(f"{path}.{name}") for name in ("scale", "code_of_zero"))
        zero = quantizer.zero_point
        arguments = (source, scale_node, zero_node, low + zero, high + zero, name)
        call = graph.graph.call_function(REQUANTIZE, arguments)
    node.replace_all_uses_with(call)
    graph.graph.erase_node(node)


def _to_qdq(x: Any, scale: Any, zero_point: Any, low: int, high: int, name: str) -> Any:
    codes = op.QuantizeLinear(x, scale, zero_point)
    kind = zero_point.dtype.numpy()
    limits = np.iinfo(kind)
    if (low, high) != (limits.min, limits.max):
        bounds = [op.Constant(value=onnx.numpy_helper.from_array(np.array(v, kind))) for v in (low, high)]
        codes = op.Clip(codes, *bounds)
    codes.name = f"{name}{CODES}"
    return op.DequantizeLinear(codes, scale, zero_point)


def _to_dq(codes: Any, scale: Any, zero_point: Any = None) -> Any:
    if zero_point is None and codes.dtype == ir.DataType.INT8:
        # written out: ONNX Runtime's int8-to-uint8 pass adds a scalar one, even to a scale for each channel
        zeros = np.zeros(scale.shape.numpy(), np.int8)
        zero_point = op.Constant(value=onnx.numpy_helper.from_array(zeros))
    return op.DequantizeLinear(codes, scale, zero_point, axis=0)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    REQUANTIZE: _to_qdq,
    torch.ops.xvision.dequantize.default: _to_dq,
}


def _translate(network: nn.Module, inputs: tuple[Tensor, ...]) -> torch.onnx.ONNXProgram:
    # the exporter would take a batch of one for a constant
    inputs = tuple(plane.cpu().repeat(2, *[1] * (plane.ndim - 1)) for plane in inputs)
    try:
        with torch.no_grad():
            outputs = network(*inputs)
    except Exception as error:  # whatever the network raises
        shapes = ", ".join("x".join(map(str, plane.shape[1:])) for plane in inputs)
        raise ValueError(
            f"{type(network).__name__}: expected inputs that the network takes, it fails on {shapes} "
            f"({str(error).splitlines()[0]}); check number, size and channels of the planes"
        ) from error
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                inputs,
                dynamo=True,
                opset_version=OPSET,
                input_names=input_names(network) or None,
                output_names=_output_names(outputs),
                dynamic_shapes=tuple({0: torch.export.Dim("batch")} for _ in inputs),
                custom_translation_table=TRANSLATIONS,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise ValueError(
            f"{type(network).__name__}: expected a network that ONNX can express, the exporter refused it "
            f"({reason}); replace the operator it names"
        ) from error
    assert program is not None
    return program


def _output_names(outputs: Any) -> list[str]:
    if isinstance(outputs, dict):
        return list(outputs)
    return [f"out{i}" for i in range(1 if isinstance(outputs, Tensor) else len(outputs))]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's deprecation warnings and progress notes, which are about its own code, from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _unshare(graph: ir.Graph) -> None:
    """Give each layer its own weights: the exporter merges equal ones, and ONNX Runtime would rewrite them twice."""
    for node in list(graph):
        stored = node.inputs[0] if node.op_type == "DequantizeLinear" else None
        if stored is None or stored.const_value is None:
            continue
        for number, use in enumerate(list(node.outputs[0].uses())[1:], start=1):
            own = ir.val(f"{stored.name}.{number}", const_value=stored.const_value)
            graph.register_initializer(own)
            twin = ir.node("DequantizeLinear", [own, *node.inputs[1:]], attributes=node.attributes)
            graph.insert_before(node, twin)
            use.node.replace_input_with(use.idx, twin.outputs[0])


def _name_scales(graph: ir.Graph) -> None:
    """Give each tensor its own scale and zero point, called after it: the exporter merges those of equal value."""
    for node in graph:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        codes = node.outputs[0] if node.op_type == "QuantizeLinear" else node.inputs[0]
        assert codes is not None
        clips = [use.node for use in codes.uses() if use.node.op_type == "Clip"]
        name = _tensor_name(clips[0].outputs[0] if clips else codes)
        for i, part in enumerate(node.inputs[1:], start=1):
            own = f"{name}.{('', 'scale', 'zero_point')[i]}"
            if own not in graph.initializers:
                assert part is not None
                assert part.const_value is not None
                tensor = ir.tensor(part.const_value.numpy(), name=own)
                graph.register_initializer(ir.val(own, const_value=tensor))
            node.replace_input_with(i, graph.initializers[own])
    for name in [n for n, value in graph.initializers.items() if not value.uses()]:
        del graph.initializers[name]


def _tensor_name(codes: ir.Value) -> str:
    """What a tensor is called: joined planes by their names, since the exporter's (cat) is also that of a layer."""
    producer = codes.producer()
    if producer is None or str(codes.name).endswith(CODES):
        return str(codes.name).removesuffix(CODES)
    sources = producer.inputs if producer.op_type == "Concat" else producer.inputs[:1]
    return "+".join(_tensor_name(source) for source in sources if source is not None)


_MAX_CLASSES = 256  # ids are uint8


def _score_to_id(graph: ir.Graph, names: Sequence[str]) -> None:
    """Put an argmax behind outputs of scores (B, C, ...): ids (B, 1, ...) of the first largest one, as torch does.

    Behind DequantizeLinear, where runtimes look for it: codes and scores of one scale have the same largest element.
    """
    outputs = {str(value.name): i for i, value in enumerate(graph.outputs)}
    for name in names:
        if name not in outputs:
            raise ValueError(f"argmax: expected outputs among {', '.join(outputs)}, got '{name}'")
        scores = graph.outputs[outputs[name]]
        shape = scores.shape
        if (
            shape is None
            or len(shape) < 2
            or not isinstance(shape[1], int)
            or not 2 <= shape[1] <= _MAX_CLASSES
        ):
            raise ValueError(
                f"argmax: expected an output of 2 to {_MAX_CLASSES} class scores (B, C, ...), got '{name}' of shape "
                f"{shape}; leave it out"
            )
        scores.name = f"{name}.scores"
        largest = ir.node("ArgMax", [scores], attributes={"axis": 1, "keepdims": 1, "select_last_index": 0})
        largest.outputs[0].name = f"{name}.largest"
        ids = ir.node("Cast", [largest.outputs[0]], attributes={"to": int(ir.DataType.UINT8)})
        ids.outputs[0].name = name
        ids.outputs[0].dtype = ir.DataType.UINT8
        ids.outputs[0].shape = ir.Shape([shape[0], 1, *shape[2:]])
        graph.extend([largest, ids])
        graph.outputs[outputs[name]] = ids.outputs[0]


def _write(model: ir.Model, path: Path) -> Path:
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    with replacing(path) as temporary:
        temporary.write_bytes(proto.SerializeToString())
    return path
