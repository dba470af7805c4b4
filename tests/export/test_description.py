"""What files say of networks: ours, quantized or not, and others."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import xvision as xv
from tests.quant.patterns import with_statistics
from xvision.export.contract import Contents
from xvision.export.description import described
from xvision.export.executors.onnxruntime import OnnxRuntime
from xvision.export.formats import export_format
from xvision.models.build import build_model
from xvision.models.inputs import Inputs
from xvision.models.outputs import PIXEL_SCORES, OutputSpec
from xvision.models.pixels import PLANES, YuvRange, encode
from xvision.models.settings import Net
from xvision.quant.methods import method
from xvision.quant.state import load, save

ONNX = export_format.onnx().build()


def of(network: nn.Module, *inputs: Tensor, **settings: Any) -> dict[str, Any]:
    return described(ONNX, network, Contents(inputs, **settings))


@pytest.fixture(scope="module")
def ours() -> tuple[nn.Module, nn.Module, tuple[Tensor, ...]]:
    """A float network that takes NV12 of full swing, the same quantized, and images."""
    torch.manual_seed(0)
    net = Net.model_validate(
        {"backbone": "timm:resnet10t", "decoder": "lraspp_lite", "pixels": "nv12", "yuv_range": "full"}
    )
    spec = OutputSpec("parts", 3, "map", field="segmentation", reading=PIXEL_SCORES)
    model = build_model(net, {"parsing": (spec,)}, (64, 96))
    planes = tuple(
        plane for plane in encode(torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8), "nv12", "full")
    )
    quantized = xv.quantize(with_statistics(model, planes), [planes], method=method.ptq(rungs="mse"))
    return model, quantized, planes


def test_networks_of_ours_say_what_they_take_and_give(
    ours: tuple[nn.Module, nn.Module, tuple[Tensor, ...]], tmp_path: Path
) -> None:
    model, quantized, planes = ours
    said = of(model, *planes)
    assert [(one["name"], one["shape"], one["layout"]) for one in said["inputs"]] == [
        ("y", ["batch", 1, 64, 96], "BCHW"),
        ("uv", ["batch", 32, 48, 2], "BHWC"),
    ]
    assert {(one["pixels"], one["yuv_range"], one["of"]) for one in said["inputs"]} == {
        ("nv12", "full", "image")
    }
    (output,) = said["outputs"]
    assert output["shape"] == ["batch", 3, 64, 96]
    assert (output["task"], output["field"], output["stride"]) == ("parsing", "segmentation", 1)
    assert output["steps"] == [step.plain() for step in PIXEL_SCORES.steps]
    assert said["numbers"] == {"kind": "float"}

    for network in (quantized, load(save(quantized, tmp_path / "q.safetensors"))):
        again = of(network, *planes)
        assert (again["inputs"], again["outputs"]) == (said["inputs"], said["outputs"])
        assert (again["numbers"]["scheme"], again["numbers"]["heads_bits"]) == ("pow2", 16)


def test_ids_in_place_of_scores_are_said_to_be_ids(
    ours: tuple[nn.Module, nn.Module, tuple[Tensor, ...]], tmp_path: Path
) -> None:
    model, quantized, planes = ours
    (output,) = of(model, *planes, argmax=("parts",), batch=2)["outputs"]
    assert (output["dtype"], output["shape"], output["num_classes"]) == ("uint8", [2, 1, 64, 96], 3)
    assert output["steps"] == [{"operation": "to_image", "interpolation": "nearest"}]

    file = xv.export(
        quantized, tmp_path / "m.onnx", argmax=["parts"], opset=21, metadata={"producer": '"me"', "x": "y"}
    )
    assert xv.verify(quantized, file, [planes]).max_lsb == 0
    runtime = OnnxRuntime(file)
    assert (runtime.metadata["producer"], runtime.metadata["x"]) == ('"me"', "y")
    (written,) = json.loads(runtime.metadata["outputs"])
    assert [(p.name, p.shape, p.kind) for p in runtime.output_ports] == [
        (written["name"], tuple(written["shape"]), f"tensor({written['dtype']})")
    ]


class Theirs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, stride=2)

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        x = self.conv(torch.cat((left, right), 1))
        return x, x.mean((2, 3))


def test_other_networks_say_names_types_and_shapes(tmp_path: Path) -> None:
    planes = torch.rand(2, 1, 9, 9), torch.rand(2, 1, 9, 9)
    runtime = OnnxRuntime(xv.export(Theirs(), tmp_path / "m.onnx", inputs=planes, opset=18))
    said = {key: json.loads(value) for key, value in runtime.metadata.items()}
    assert said["producer"] == {"name": "xvision", "version": importlib.metadata.version("edgeai-xvision")}
    assert said["runtime"] == {
        "onnx_opset": 18, "onnxruntime": ">=1.15.0", "session_config": {"session.x64quantprecision": "1"},
    }  # fmt: skip
    for key, ports in (("inputs", runtime.input_ports), ("outputs", runtime.output_ports)):
        assert said[key] == [
            {"name": port.name, "dtype": "float32", "shape": list(port.shape)} for port in ports
        ]
    assert [one["name"] for one in said["inputs"]] == ["left", "right"]


def test_inputs_that_do_not_fit_are_named() -> None:
    message = r"Theirs, layer conv: expected a network that takes planes of .*2x9x9.* got RuntimeError: Given"
    with pytest.raises(ValueError, match=message):
        of(Theirs(), torch.rand(1, 2, 9, 9), torch.rand(1, 2, 9, 9))


@pytest.mark.parametrize("yuv_range", ["studio", "full"])
@pytest.mark.parametrize("pixels", PLANES)
def test_the_coding_of_each_plane_gives_its_codes(pixels: str, yuv_range: YuvRange) -> None:
    rgb = torch.randint(0, 256, (1, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    rgb[..., :4, :4] = torch.tensor([0, 0, 255], dtype=torch.uint8).view(3, 1, 1)
    inputs = Inputs(pixels) if pixels not in ("yuv444", "nv12") else Inputs(pixels, yuv_range=yuv_range)
    (stream,) = inputs.streams
    for plane, codes in zip(stream.described().values(), inputs.encode({"image": rgb}), strict=True):
        coding = plane["coding"]
        n = coding["subsampling"]
        sums = torch.tensor(coding["matrix_256"]) @ rgb[0].long().flatten(1)
        sums = sums.view(-1, 16 // n, n, 16 // n, n).sum((2, 4))
        offset = torch.tensor(coding["offset"]).view(-1, 1, 1)
        made = ((sums + 128 * n * n).div(256 * n * n, rounding_mode="floor") + offset).clamp(0, 255)
        laid = codes[0].permute(2, 0, 1) if plane["layout"] == "BHWC" else codes[0]
        assert torch.equal(made.to(torch.uint8), laid)
