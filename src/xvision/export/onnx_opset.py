"""Files of ONNX's opset 18 in opset 17: what a newer operator says as an input or attribute, its older form says in
another way or means by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

IR_VERSION = 8  # of the file format, which runtimes of opset 17 and 18 read
Stored = Mapping[str, TensorProto]


def in_opset(model: ModelProto, opset: int) -> ModelProto:
    """A file, as the exporter wrote it, in the opset that was asked for, and in a format that its runtimes read.

    Raises: ValueError that names the operator if the older opset has none like it.
    """
    if opset >= 21:
        return model
    model.ir_version = min(model.ir_version, IR_VERSION)
    if opset < 18:
        stored = {tensor.name: tensor for tensor in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Constant":
                stored[node.output[0]] = node.attribute[0].t
            OLDER.get(node.op_type, _as_it_is)(node, stored)
        next(one for one in model.opset_import if not one.domain).version = opset
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"export.opset={opset}: expected operators that it has, it cannot express this network ({reason}); take 18"
        ) from error
    return model


def _as_it_is(node: NodeProto, stored: Stored) -> None:
    pass


def _drop(node: NodeProto, *names: str) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name not in names]
    del node.attribute[:]
    node.attribute.extend(kept)


def _axes_as_attribute(node: NodeProto, stored: Stored) -> None:
    if len(node.input) > 1 and node.input[1]:
        axes = np.atleast_1d(numpy_helper.to_array(stored[node.input[1]]))
        node.attribute.append(helper.make_attribute("axes", axes.tolist()))
    del node.input[1:]
    _drop(node, "noop_with_empty_axes")


def _without_axes(node: NodeProto, stored: Stored) -> None:
    del node.input[3:]  # they are all of them


def _equal_parts(node: NodeProto, stored: Stored) -> None:
    _drop(node, "num_outputs")


def _plain_resize(node: NodeProto, stored: Stored) -> None:
    _drop(node, "antialias", "axes", "keep_aspect_ratio_policy")


OLDER: dict[str, Callable[[NodeProto, Stored], None]] = {
    **dict.fromkeys(("ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2", "ReduceProd"), _axes_as_attribute),
    "Pad": _without_axes,
    "Split": _equal_parts,
    "Resize": _plain_resize,
}
