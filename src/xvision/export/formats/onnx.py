"""ONNX: a network as one file, with integer weights and a Q/DQ pair for each tensor if it is quantized."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, fx, nn

from xvision.export.contract import Executor, Format, installed
from xvision.export.executors import executor
from xvision.export.formats import export_format
from xvision.export.integers import is_quantized, to_integers
from xvision.files import replacing
from xvision.graph.trace import input_names, trace


class Onnx(Format):
    """Inputs are called as the planes of the pixel format, or as the arguments of the network's forward.

    A quantized network takes the uint8 planes as its first integer tensor and gives float scores.
    """

    name = "onnx"
    suffix = ".onnx"
    version = installed("onnxruntime")

    def write(
        self,
        network: nn.Module,
        path: Path,
        inputs: tuple[Tensor, ...],
        argmax: tuple[str, ...],
        metadata: Mapping[str, str],
    ) -> None:
        import onnx
        import onnx_ir as ir
        from onnx_ir.passes.common import ClearMetadataAndDocStringPass

        from xvision.export.onnx_graph import keep_port_names, name_scales, scores_to_ids, unshare_weights
        from xvision.export.onnx_translate import translate

        network = copy.deepcopy(network).cpu().eval()
        if isinstance(network, fx.GraphModule) and is_quantized(network):
            to_integers(network)
        elif input_names(network):
            network = trace(network)  # its forward takes *planes, the exporter wants them named
        model = translate(network, inputs)
        ClearMetadataAndDocStringPass()(model)  # it names source files of the exporting machine
        keep_port_names(model.graph)
        unshare_weights(model.graph)
        name_scales(model.graph)
        scores_to_ids(model.graph, argmax)
        model.metadata_props.update(metadata)
        proto = ir.to_proto(model)
        onnx.checker.check_model(proto, full_check=True)
        with replacing(path) as temporary:
            temporary.write_bytes(proto.SerializeToString())

    def executor(self, path: Path) -> Executor:
        runtime: Executor = executor.onnxruntime().build(path)
        return runtime


@export_format
def onnx() -> Format:
    """ONNX with Q/DQ pairs, for ONNX Runtime and for compilers that read it."""
    return Onnx()
