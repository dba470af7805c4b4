"""What ONNX Runtime computes in float of a quantized file: whatever stands between a DequantizeLinear and its end."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from xvision.export.onnx_graph import CODES
from xvision.quant.islands import FloatOperator

WEIGHT = ".weight"


def computed_in_float(path: Path, optimize: Callable[[Path], Any]) -> list[FloatOperator]:
    """The operators that compute in float once a runtime has made its own of the file, by kind and by layer.

    `optimize` writes to a path what the runtime makes of it. Of a file without integer tensors there is nothing to say.
    """
    given = onnx.load(path).graph
    if not any(name.endswith(CODES) for node in given.node for name in node.output):
        return []
    layers = {
        node.output[0]: node.input[0].removesuffix(WEIGHT)
        for node in given.node
        if node.op_type == "DequantizeLinear" and node.input[0].endswith(WEIGHT)
    }
    with tempfile.TemporaryDirectory() as folder:
        optimized = Path(folder) / "optimized.onnx"
        optimize(optimized)
        graph = onnx.load(optimized).graph
    stored = {one.name for one in graph.initializer}
    floats: set[str] = set()
    found = []
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            floats |= set(node.output) if node.input[0] not in stored else set()
        elif node.op_type != "QuantizeLinear" and floats & set(node.input):
            floats |= set(node.output)
            layer = next((layers[name] for name in node.input if name in layers), "")
            found.append(FloatOperator(node.op_type, layer))
    return found
