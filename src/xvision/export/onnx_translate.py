"""A network as an ONNX graph, by PyTorch's exporter and the operators that become Q, DQ and tables."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import torch
from onnxscript import opset18, opset21
from torch import Tensor, fx, nn

from xvision.export.integers import REQUANTIZE
from xvision.export.onnx_graph import CODES
from xvision.export.tables import LOOKUP
from xvision.graph.answers import answers
from xvision.graph.trace import input_names


def translations(opset: int) -> dict[Callable[..., Any], Callable[..., Any]]:
    """Our operators in ONNX's."""
    op: Any = opset21 if opset >= 21 else opset18

    def to_qdq(x: Any, scale: Any, zero_point: Any, low: int, high: int, name: str) -> Any:
        kind = zero_point.dtype.numpy()
        codes = op.QuantizeLinear(x, scale, zero_point)
        limits = np.iinfo(kind)
        if (low, high) != (limits.min, limits.max):
            bounds = [op.Constant(value=onnx.numpy_helper.from_array(np.array(v, kind))) for v in (low, high)]
            codes = op.Clip(codes, *bounds)
        codes.name = f"{name}{CODES}"
        return op.DequantizeLinear(codes, scale, zero_point)

    def to_dq(codes: Any, scale: Any, zero_point: Any = None) -> Any:
        if zero_point is None and codes.dtype == ir.DataType.INT8:
            # written out: ONNX Runtime's int8-to-uint8 pass adds a scalar one, even to a scale for each channel
            zeros = np.zeros(scale.shape.numpy(), np.int8)
            zero_point = op.Constant(value=onnx.numpy_helper.from_array(zeros))
        return op.DequantizeLinear(codes, scale, zero_point, axis=0)

    def to_gather(x: Any, table: Any, grid: Any, out_grid: Any, name: str) -> Any:
        places = op.Cast(op.QuantizeLinear(x, *grid), to=ir.DataType.INT32)
        codes = op.Gather(table, places, axis=0)
        codes.name = f"{name}{CODES}"
        return op.DequantizeLinear(codes, *out_grid)

    return {REQUANTIZE: to_qdq, torch.ops.xvision.dequantize.default: to_dq, LOOKUP: to_gather}


def translate(network: nn.Module, inputs: tuple[Tensor, ...], opset: int = 21) -> ir.Model:
    """The graph of a network, its inputs and outputs called as the network calls them.

    Raises: ValueError if the network does not take the inputs, or has an operator that ONNX does not know.
    """
    # the exporter would take a batch of one for a constant
    inputs = tuple(plane.cpu().repeat(2, *[1] * (plane.ndim - 1)) for plane in inputs)
    outputs = answers(network, inputs)
    try:
        with _quiet():
            program = torch.onnx.export(
                network,
                inputs,
                dynamo=True,
                opset_version=max(18, opset),
                input_names=input_names(network) or None,
                output_names=list(outputs),
                dynamic_shapes=tuple({0: torch.export.Dim("batch")} for _ in inputs),
                custom_translation_table=translations(opset),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ValueError(_refusal(network, " ".join(str(error.__cause__ or error).split()))) from error
    assert program is not None
    return program.model


def _refusal(network: nn.Module, said: str) -> str:
    """Which operator ONNX does not know, and in which layer, where the exporter's words tell."""
    found = re.search(r"torch\.ops\.([\w.]+)", said)
    if found is None or not isinstance(network, fx.GraphModule):
        return (
            f"{type(network).__name__}: expected a network that ONNX can express, the exporter refused it "
            f"({said[:300]}); replace the operator it names"
        )
    layers = (
        node.meta.get("layer") or node.name for node in network.graph.nodes if str(node.target) == found[1]
    )
    where = next(layers, "")
    return (
        f"{f'layer {where}' if where else type(network).__name__}: expected operators that ONNX can express, got "
        f"{found[1]}; replace that part of the network"
    )


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
