"""What is set right in a graph that PyTorch's exporter made: names, weights and scales of each layer, class ids."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import count

import ml_dtypes
import onnx_ir as ir

CODES = ".codes"  # ends the name of the integer tensor of each quantizer
SCORES = ".scores"  # ends the name of scores whose argmax is the output


def unshare_weights(graph: ir.Graph) -> None:
    """Give each layer its own weights: the exporter merges equal ones, and ONNX Runtime would rewrite them twice.

    Equal codes may have different scales: then several DequantizeLinear read what is stored once.
    """
    taken: set[ir.Value] = set()
    for node in list(graph):
        stored = node.inputs[0] if node.op_type == "DequantizeLinear" else None
        if stored is None or stored.const_value is None:
            continue
        if stored in taken:
            node.replace_input_with(0, _copy(graph, stored))
        taken.add(stored)
        for use in list(node.outputs[0].uses())[1:]:
            twin = ir.node(
                "DequantizeLinear", [_copy(graph, stored), *node.inputs[1:]], attributes=node.attributes
            )
            graph.insert_before(node, twin)
            use.node.replace_input_with(use.idx, twin.outputs[0])


def store_in_4_bits(graph: ir.Graph, weights: Collection[str]) -> None:
    """Keep the codes of these weights as INT4, two in a byte; each is read by one DequantizeLinear."""
    for node in graph:
        stored = node.inputs[0] if node.op_type == "DequantizeLinear" else None
        if stored is None or not {stored.name, str(stored.name).rpartition(".")[0]} & set(weights):
            continue
        codes, zero_point = _in_4_bits(stored), _in_4_bits(node.inputs[2])
        zero_point.name = f"{stored.name}.zero_point"  # the exporter shares that of all layers
        node.replace_input_with(0, codes)
        del graph.initializers[str(stored.name)]
        for value in (codes, zero_point):
            graph.register_initializer(value)
        node.replace_input_with(2, zero_point)


def _in_4_bits(stored: ir.Value | None) -> ir.Value:
    assert stored is not None
    assert stored.const_value is not None
    return ir.val(stored.name, const_value=ir.tensor(stored.const_value.numpy().astype(ml_dtypes.int4)))


def _copy(graph: ir.Graph, stored: ir.Value) -> ir.Value:
    number = next(n for n in count(1) if f"{stored.name}.{n}" not in graph.initializers)
    own = ir.val(f"{stored.name}.{number}", const_value=stored.const_value)
    graph.register_initializer(own)
    return own


def keep_port_names(graph: ir.Graph) -> None:
    """Let the names of inputs and outputs be theirs alone: the exporter takes them inside too."""
    ports = {value.name for value in (*graph.inputs, *graph.outputs)}
    outputs = set(graph.outputs)
    for node in graph:
        for value in node.outputs:
            if value.name in ports and value not in outputs:
                value.name = f"{value.name}.inside"


def name_scales(graph: ir.Graph) -> None:
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


def scores_to_ids(graph: ir.Graph, names: Sequence[str]) -> None:
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
        scores.name = f"{name}{SCORES}"
        largest = ir.node("ArgMax", [scores], attributes={"axis": 1, "keepdims": 1, "select_last_index": 0})
        largest.outputs[0].name = f"{name}.largest"
        ids = ir.node("Cast", [largest.outputs[0]], attributes={"to": int(ir.DataType.UINT8)})
        ids.outputs[0].name = name
        ids.outputs[0].dtype = ir.DataType.UINT8
        ids.outputs[0].shape = ir.Shape([shape[0], 1, *shape[2:]])
        graph.extend([largest, ids])
        graph.outputs[outputs[name]] = ids.outputs[0]


def fix_batch(graph: ir.Graph, batch: int) -> None:
    """Give the free first dimension of inputs and outputs a size."""
    for value in (*graph.inputs, *graph.outputs):
        assert value.shape is not None
        value.shape = ir.Shape([batch, *list(value.shape)[1:]])
    for node in graph:
        for value in node.outputs:
            if value not in graph.outputs:
                value.shape = None  # inferred again from the inputs
