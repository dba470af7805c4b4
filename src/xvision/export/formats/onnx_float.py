"""ONNX of the network before quantization: to compare with, or for compilers that quantize by themselves."""

from __future__ import annotations

from xvision.export.contract import Format
from xvision.export.formats import export_format
from xvision.export.formats.onnx import Onnx


class OnnxFloat(Onnx):
    """The float network; it takes the same uint8 planes."""

    name = "onnx_float"
    suffix = "_float.onnx"
    quantized = False


@export_format
def onnx_float() -> Format:
    """ONNX of the float network."""
    return OnnxFloat()
