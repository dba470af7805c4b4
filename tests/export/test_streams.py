"""Networks of two streams as int8 files: every input is the first quantized tensor, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch

import xvision as xv
from tests.models.outputs import outputs_by_task
from tests.quant.patterns import planes_for, with_statistics
from xvision.export.executors.onnxruntime import OnnxRuntime
from xvision.models.backbones import backbone
from xvision.models.build import build_model
from xvision.models.decoders import decoder
from xvision.models.settings import Net
from xvision.quant.state import load, save

CASES = [
    ("mobilenetv2_035", "rgb", "image+previous"),
    ("mobilenetv2_035", "nv12", "image+previous"),
    ("mobilenetv2_035", "nv12", "image+flow+confidence"),
    ("resnet10t", "rgb", "image+flow"),
    ("regnetx_002", "gray", "image+flow+confidence"),
]


@pytest.mark.parametrize(("model", "pixels", "inputs"), CASES)
def test_two_streams_are_exact(model: str, pixels: str, inputs: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Net.model_validate(
        {
            "backbone": backbone.timm(model=model),
            "decoder": decoder.fpn_lite(width=0.25),
            "pixels": pixels,
            "inputs": inputs,
        }
    )
    network = build_model(net, outputs_by_task({"motion": 2}), (64, 64))
    planes = planes_for(network, size=64, batch=2)
    q = xv.quantize(with_statistics(network, planes), [planes], method="ptq")
    scales = [m for key, m in q.named_modules() if key.startswith("quantizers.") and key.endswith("pixels")]
    assert [(float(m.scale), m.zero_point) for m in scales] == [(1 / 64, 128)] * 2  # type: ignore[arg-type, union-attr]
    file = xv.export(q, tmp_path / "model.onnx")
    parity = xv.verify(q, file, [planes])
    assert parity.ok, (parity.max_lsb, parity.first_difference)

    runtime = OnnxRuntime(file)
    assert [p.name for p in runtime.input_ports] == [p.name for p in network.inputs.planes]
    assert {p.kind for p in runtime.input_ports} == {"tensor(uint8)"}
    with torch.no_grad():
        assert torch.equal(runtime(*planes)["motion"], q(*planes)["motion"])
        again = load(save(q, tmp_path / "q.safetensors"))
        assert torch.equal(again(*planes)["motion"], q(*planes)["motion"])


def test_a_float_network_of_two_streams_is_exported_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = Net.model_validate(
        {"backbone": "timm:mobilenetv2_035", "decoder": "classifier", "inputs": "image+flow+confidence"}
    )
    network = build_model(net, outputs_by_task({"class": 3}), (64, 64)).eval()
    file = xv.export(network, tmp_path / "model.onnx")
    assert [i.name for i in onnx.load(file).graph.input] == ["image", "flow", "confidence"]
    planes = planes_for(network, size=64, batch=2)
    with torch.no_grad():
        assert torch.allclose(OnnxRuntime(file)(*planes)["class"], network(*planes)["class"], atol=1e-5)
