"""ONNX files of every pattern and of four networks: not one code differs, and the form is the one that fuses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

import xvision as xv
from tests.models.outputs import outputs_by_task
from tests.quant.patterns import PATTERNS, planes_for, trained, with_statistics
from xvision.export.executors.onnxruntime import OnnxRuntime
from xvision.models.build import build_model
from xvision.models.settings import Net
from xvision.quant.methods import method
from xvision.quant.schemes import scheme

NETWORKS = ("resnet18", "mobilenetv2_100", "regnetx_004", "tf_efficientnet_lite0")


@dataclass
class Made:
    name: str
    model: nn.Module
    planes: tuple[Tensor, ...]
    q: nn.Module
    file: Path

    def __post_init__(self) -> None:
        self.proto = onnx.load(self.file)
        graph = self.proto.graph
        self.nodes = list(graph.node)
        self.initializers = {t.name: t for t in graph.initializer}
        self.producer = {name: node for node in self.nodes for name in node.output}

    def readers(self, name: str) -> list[onnx.NodeProto]:
        return [node for node in self.nodes if name in node.input]

    def of_type(self, *kinds: str) -> list[onnx.NodeProto]:
        return [node for node in self.nodes if node.op_type in kinds]

    def array(self, name: str) -> np.ndarray:
        if name in self.initializers:
            return numpy_helper.to_array(self.initializers[name])
        return numpy_helper.to_array(self.producer[name].attribute[0].t)  # a Constant


def network(name: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    model = build_model(
        Net.model_validate({"backbone": f"timm:{name}", "decoder": "classifier"}),
        outputs_by_task({"class": 10}),
        (64, 64),
    )
    planes = planes_for(model, size=64, batch=4)
    return with_statistics(model, planes), planes


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    folder = tmp_path_factory.mktemp("export")

    @cache
    def make(name: str) -> Made:
        """A pattern or network by name: quantized, exported, read."""
        model, planes = network(name) if name in NETWORKS else trained(name)
        # how well ranges and weights are chosen is another room's matter
        q = xv.quantize(model, [planes], method=method.ptq(rungs="mse"))
        metadata = {"task": name, "classes": '["a", "b"]'}
        return Made(name, model, planes, q, xv.export(q, folder / f"{name}.onnx", metadata=metadata))

    return make


@pytest.fixture(params=[*PATTERNS, *NETWORKS])
def made(make: Callable[[str], Made], request: pytest.FixtureRequest) -> Made:
    return make(request.param)


def test_no_code_differs_at_any_level(made: Made) -> None:
    size, seeds = made.planes[0].shape[-1], (0, 1)
    batches = [planes_for(made.model, size=size, batch=4, seed=seed) for seed in seeds]
    parity = xv.verify(made.q, made.file, batches)
    assert parity.first_difference is None
    assert {name: level.max_lsb for name, level in parity.levels.items()} == {"off": 0, "basic": 0, "all": 0}
    assert (parity.ok, parity.agreement, parity.images) == (True, 1.0, 8)
    assert parity.levels["off"].tensors == len(made.of_type("QuantizeLinear"))


def test_the_batch_size_is_free(made: Made) -> None:
    runtime = OnnxRuntime(made.file)
    for batch in (1, 3):
        planes = tuple(plane[:batch] for plane in made.planes)
        outputs = runtime(*planes)
        with torch.no_grad():
            wanted = made.q(*planes)
        assert all(torch.equal(outputs[name], wanted[name]) for name in wanted)


def test_inputs_are_uint8_planes_and_the_first_quantized_tensor(made: Made) -> None:
    inputs = {i.name: i.type.tensor_type.elem_type for i in made.proto.graph.input}
    assert inputs == dict.fromkeys(("y", "uv") if made.name == "two_heads" else ("image",), TensorProto.UINT8)
    assert not made.of_type("Cast", "Sub")
    first = made.of_type("DequantizeLinear")[0]
    if made.name != "two_heads":  # whose planes are enlarged and joined first
        assert first.input[0] == "image"
        assert len(made.readers("image")) == 1
    assert [float(made.array(first.input[1])), int(made.array(first.input[2]))] == [1 / 64, 128]


def test_weights_are_int8_and_biases_int32_under_their_own_names(made: Made) -> None:
    layers = made.of_type("Conv", "ConvTranspose", "Gemm")
    assert layers
    own = {name.removesuffix(".weight") for name in made.q.state_dict() if name.endswith(".weight")}
    for layer in layers:
        weight, bias = (made.producer[name] for name in layer.input[1:])
        assert {weight.op_type, bias.op_type} == {"DequantizeLinear"}
        assert made.initializers[weight.input[0]].data_type == TensorProto.INT8
        assert made.initializers[bias.input[0]].data_type == TensorProto.INT32
        name = weight.input[0].removesuffix(".weight")
        assert bias.input[0] == f"{name}.bias"
        own.remove(name)
        scales = [made.array(dq.input[1]) for dq in (weight, bias, made.producer[layer.input[0]])]
        assert scales[1] == scales[0] * scales[2]  # what the accumulator counts in
        assert made.array(weight.input[2]) == 0
    assert not own


def test_every_tensor_has_one_pair(made: Made) -> None:
    heads = {output.name for output in made.proto.graph.output}
    for q in made.of_type("QuantizeLinear"):
        before = made.producer[q.input[0]]
        assert before.op_type != "DequantizeLinear", f"{q.input[0]}: two pairs in a row"
        assert len(made.readers(q.input[0])) == 1, f"{q.input[0]}: somebody reads what is not quantized"
        (reader,) = made.readers(q.output[0])
        if reader.op_type == "Clip":
            (reader,) = made.readers(reader.output[0])
        assert reader.op_type == "DequantizeLinear"
        name = reader.input[0].removesuffix(".codes")
        assert reader.input[1:] == q.input[1:] == [f"{name}.scale", f"{name}.zero_point"]
        assert len(made.readers(q.input[1])) == 2  # the scale belongs to this tensor alone
        kind = made.initializers[q.input[2]].data_type
        of_head = reader.output[0] in heads or (made.name, name) == (
            "resized_head",
            "body_0",
        )  # on one quantization grid
        assert kind == (TensorProto.INT16 if of_head else TensorProto.UINT8)


@pytest.mark.parametrize(
    "name", ["conv_relu6", "depthwise_relu6", "mobilenetv2_100", "tf_efficientnet_lite0"]
)
def test_relu6_clips_the_codes(make: Callable[[str], Made], name: str) -> None:
    made = make(name)
    clips = made.of_type("Clip")
    assert clips
    for clip in clips:
        q = made.producer[clip.input[0]]
        assert q.op_type == "QuantizeLinear"
        low, high = (made.array(bound) for bound in clip.input[1:])
        assert (low.dtype, high.dtype) == (np.uint8, np.uint8)
        scale, zero_point = (made.array(name) for name in q.input[1:])
        assert (low, high) == (zero_point, np.rint(6 / scale).clip(0, 255 - zero_point) + zero_point)


def test_metadata_is_kept_and_nothing_of_the_place_it_was_made_in(made: Made) -> None:
    said = OnnxRuntime(made.file).metadata
    assert (said["task"], said["classes"]) == (made.name, '["a", "b"]')
    assert [(o.domain, o.version) for o in made.proto.opset_import] == [("", 21)]
    content = made.file.read_bytes()
    assert str(Path(xv.__file__).parent).encode() not in content
    assert b".py" not in content


@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_runtime_fuses_into_integer_convolutions(
    make: Callable[[str], Made], name: str, tmp_path: Path
) -> None:
    made = make(name)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(made.file), options, providers=["CPUExecutionProvider"])
    optimized = onnx.load(tmp_path / "optimized.onnx").graph.node
    kinds = Counter(node.op_type for node in optimized)
    assert kinds["QLinearConv"] == len(made.of_type("Conv"))
    assert kinds["Conv"] == 0
    first = [node.op_type for node in optimized if "image" in node.input]
    assert first == ["QLinearConv"]  # no operator between the camera and the first convolution


@pytest.mark.parametrize("name", ["grouped", "transposed_grouped"])
def test_scales_for_each_channel_and_heads_of_8_bits(name: str, tmp_path: Path) -> None:
    model, planes = trained(name)
    q = xv.quantize(model, [planes], scheme=scheme.pow2(weights="channel", head_bits=8))
    file = xv.export(q, tmp_path / "model.onnx")
    assert xv.verify(q, file, [planes]).ok
    zeros = {t.name: t for t in onnx.load(file).graph.initializer if t.name.endswith(".zero_point")}
    assert zeros["head.zero_point"].data_type == TensorProto.UINT8
    assert list(zeros["head.weight.zero_point"].dims) == [10]


def test_exporting_changes_nothing_and_gives_the_same_bytes_again(
    make: Callable[[str], Made], tmp_path: Path
) -> None:
    made = make("conv_relu6")
    before = {key: value.clone() for key, value in made.q.state_dict().items()}
    again = xv.export(made.q, tmp_path / "deep/again.onnx", metadata=OnnxRuntime(made.file).metadata)
    assert again.read_bytes() == made.file.read_bytes()
    assert all(torch.equal(value, before[key]) for key, value in made.q.state_dict().items())


def test_float_networks_of_ours(tmp_path: Path) -> None:
    model, planes = network("resnet10t")
    runtime = OnnxRuntime(xv.export(model, tmp_path / "model.onnx", metadata={"task": "x"}))
    assert [(p.name, p.kind, p.shape) for p in runtime.input_ports] == [
        ("image", "tensor(uint8)", ("batch", 3, 64, 64))
    ]
    assert runtime.metadata["task"] == "x"
    with torch.no_grad():
        torch.testing.assert_close(runtime(*planes), model(*planes), rtol=1e-3, atol=1e-3)


class Foreign(nn.Module):
    """A network that is not ours, and an operator that ONNX may not have."""

    def __init__(self, last: object = None) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), last

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor]:
        y = self.conv(frame)
        return y, self.last(y) if callable(self.last) else y.mean(1)


def test_float_networks_of_others(tmp_path: Path) -> None:
    model, x = Foreign().eval(), torch.randn(2, 3, 8, 8)
    runtime = OnnxRuntime(xv.export(model, tmp_path / "model.onnx", inputs=[x[:1]]))
    assert [(p.name, p.kind) for p in runtime.input_ports] == [("frame", "tensor(float)")]
    outputs = runtime(x)
    assert list(outputs) == ["out0", "out1"]
    with torch.no_grad():
        for got, wanted in zip(outputs.values(), model(x), strict=True):
            torch.testing.assert_close(got, wanted, rtol=1e-4, atol=1e-5)


def test_quantized_networks_of_others_take_floats(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, 8, 8)
    q = xv.quantize(Foreign(), [x])
    file = xv.export(q, tmp_path / "model.onnx")
    assert [(p.name, p.kind) for p in OnnxRuntime(file).input_ports] == [("frame", "tensor(float)")]
    assert xv.verify(q, file, [x]).ok


@pytest.mark.parametrize(
    ("model", "inputs", "message"),
    [
        (
            Foreign(torch.geqrf),
            [torch.zeros(1, 3, 8, 8)],
            r"Foreign: expected a network that torch.export can capture with planes of 3x8x8, got .*geqrf",
        ),
        (
            Foreign(),
            [torch.zeros(1, 2, 8, 8)],
            r"Foreign, layer conv: expected a network that takes planes of Nx2x8x8, .*Given",
        ),
        (
            Foreign(lambda y: torch.cummax(y, 1)[0]),
            [torch.zeros(1, 3, 8, 8)],
            r"layer cummax: expected operators that ONNX can express, got aten\.cummax\.default; replace that part",
        ),
        (
            Foreign(),
            None,
            r"Foreign: expected inputs=\(tensor, …\), example inputs of the size to export for",
        ),
    ],
)
def test_what_cannot_be_exported(
    model: nn.Module, inputs: list[Tensor] | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        xv.export(model, tmp_path / "model.onnx", inputs=inputs)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_is_named_and_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.mkdir()
    with pytest.raises(OSError, match=r"model\.onnx: cannot be written \(Is a directory\)"):
        xv.export(Foreign(), file, inputs=[torch.zeros(1, 3, 8, 8)])
    assert list(tmp_path.iterdir()) == [file]
