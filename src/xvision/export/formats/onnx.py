"""ONNX: a network as one file, with integer weights and a Q/DQ pair for each tensor if it is quantized."""

from __future__ import annotations

import copy
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, fx, nn

from xvision.export.contract import Contents, Executor, Format, installed
from xvision.export.executors import executor
from xvision.export.formats import export_format
from xvision.export.integers import is_quantized, to_integers
from xvision.export.settings import OPSET, RUNTIMES, SESSION
from xvision.export.tables import as_tables, differing
from xvision.files import replacing
from xvision.graph.capture import capture
from xvision.quant.fake import Quantizer, QuantLayer


class Onnx(Format):
    """Inputs are called as the planes of the pixel format, or as the arguments of the network's forward.

    A quantized network takes the uint8 planes as its first integer tensor and gives float scores.
    """

    name = "onnx"
    suffix = ".onnx"
    version = installed("onnxruntime")

    def requires(self, contents: Contents) -> dict[str, Any]:
        oldest = [version for opset, version in RUNTIMES.items() if opset >= contents.opset]
        return {
            "onnx_opset": contents.opset,
            "onnxruntime": f">={oldest[0]}" if oldest else "unknown",
            "session_config": SESSION,
        }

    def write(self, network: nn.Module, path: Path, contents: Contents) -> None:
        import onnx
        import onnx_ir as ir
        from onnx_ir.passes.common import ClearMetadataAndDocStringPass

        from xvision.export import onnx_graph
        from xvision.export.onnx_opset import in_opset
        from xvision.export.onnx_translate import translate

        if is_quantized(network):
            network = copy.deepcopy(network).cpu().eval()
            assert isinstance(network, fx.GraphModule)
            _check_bits(network, contents.opset)
            in_4_bits = _weights_in_4_bits(network) if contents.opset >= OPSET else ()
            as_tables(network, differing(network, partial(_at_all_levels, opset=contents.opset)))
            to_integers(network)
        else:
            in_4_bits = ()
            network = capture(network, contents.inputs).cpu()
        model = translate(network, contents.inputs, contents.opset)
        ClearMetadataAndDocStringPass()(model)  # it names source files of the exporting machine
        onnx_graph.keep_port_names(model.graph)
        onnx_graph.unshare_weights(model.graph)
        onnx_graph.store_in_4_bits(model.graph, in_4_bits)
        onnx_graph.name_scales(model.graph)
        onnx_graph.scores_to_ids(model.graph, contents.argmax)
        if contents.batch is not None:
            onnx_graph.fix_batch(model.graph, contents.batch)
        model.metadata_props.update(contents.metadata)
        proto = in_opset(ir.to_proto(model), contents.opset)
        onnx.checker.check_model(proto, full_check=True)
        with replacing(path) as temporary:
            temporary.write_bytes(proto.SerializeToString())

    def executor(self, path: Path) -> Executor:
        runtime: Executor = executor.onnxruntime().build(path)
        return runtime


def _at_all_levels(network: nn.Module, inputs: tuple[Tensor, ...], opset: int) -> list[dict[str, Tensor]]:
    """What ONNX Runtime computes of a network at each of its levels."""
    import onnx_ir as ir

    from xvision.export.onnx_opset import in_opset
    from xvision.export.onnx_translate import translate

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "functions.onnx"
        path.write_bytes(in_opset(ir.to_proto(translate(network, inputs, opset)), opset).SerializeToString())
        return [level.outputs(inputs) for level in executor.onnxruntime().build(path).levels().values()]


def _check_bits(network: nn.Module, opset: int) -> None:
    for name, module in network.named_modules():
        if isinstance(module, Quantizer) and module.numbers.bits > 8 and opset < OPSET:
            raise ValueError(
                f"export.opset={opset}: expected tensors of 8 bits, '{name.removeprefix('quantizers.')}' has "
                f"{module.numbers.bits}, which ONNX has from opset {OPSET} on; set quant.head_bits=8, or leave "
                "export.opset out"
            )


def _weights_in_4_bits(network: fx.GraphModule) -> tuple[str, ...]:
    layers = [(name, m) for name, m in network.named_modules() if isinstance(m, QuantLayer)]
    return tuple(f"{name}.weight" for name, layer in layers if layer.numbers.bits <= 4)


@export_format
def onnx() -> Format:
    """ONNX with Q/DQ pairs, for ONNX Runtime and for compilers that read it."""
    return Onnx()
