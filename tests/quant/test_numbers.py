"""Codes are what ONNX's QuantizeLinear gives, and ranges follow from bits."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from xvision.quant.fake import Quantizer
from xvision.quant.numbers import TensorQuant
from xvision.quant.ops import dequantize, requantize
from xvision.quant.schemes import scheme

TYPES = {
    (8, True): TensorProto.INT8,
    (8, False): TensorProto.UINT8,
    (16, True): TensorProto.INT16,
    (16, False): TensorProto.UINT16,
}


def quantize_linear(x: torch.Tensor, scale: float, zero_point: int, kind: int) -> torch.Tensor:
    """The codes according to ONNX Runtime."""
    graph = helper.make_graph(
        [helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None])],
        [helper.make_tensor_value_info("codes", kind, [None])],
        [
            helper.make_tensor("scale", TensorProto.FLOAT, [], [scale]),
            helper.make_tensor("zero", kind, [], [zero_point]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (codes,) = session.run(None, {"x": x.numpy()})
    return torch.from_numpy(codes.astype(np.int32))


@pytest.mark.parametrize(
    ("bits", "signed", "low", "high", "middle"),
    [
        (8, True, -128, 127, 0),
        (8, False, 0, 255, 128),
        (16, True, -32768, 32767, 0),
        (16, False, 0, 65535, 32768),
        (4, True, -8, 7, 0),
        (32, True, -(2**31), 2**31 - 1, 0),
    ],
)
def test_ranges_follow_from_bits(bits: int, signed: bool, low: int, high: int, middle: int) -> None:
    numbers = TensorQuant(bits, signed)
    assert (numbers.low, numbers.high, numbers.middle) == (low, high, middle)


@pytest.mark.parametrize("scale", [2.0**-6, 0.3, 1.7])
@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize(("bits", "signed"), TYPES)
def test_codes_are_those_of_quantize_linear(bits: int, signed: bool, centered: bool, scale: float) -> None:
    numbers = TensorQuant(bits, signed)
    quantizer = Quantizer(numbers)
    quantizer.set_range(scale, numbers.middle if centered else numbers.low)
    ties = (torch.arange(-300, 301) + 0.5) * scale
    wide = torch.linspace(-1.1, 1.1, 2001) * scale * 2**bits
    x = torch.cat((ties, ties * (1 + 1e-6), wide, torch.tensor([0.0, -0.0, 1e30, -1e30])))
    codes, zero = quantizer.codes(x), int(quantizer.zero_point)
    assert torch.equal(codes, quantize_linear(x, scale, zero, TYPES[bits, signed]))
    steps = np.rint(x.numpy() / np.float32(scale)) + zero
    assert np.array_equal(codes.numpy(), steps.clip(numbers.low, numbers.high))
    assert torch.equal(quantizer(x), (codes - zero) * torch.tensor(scale))


def test_ties_go_to_even() -> None:
    quantizer = Quantizer(TensorQuant(8, signed=True))
    quantizer.set_range(0.5, 0)
    assert quantizer.codes(torch.tensor([0.25, 0.75, 1.25, -0.25, -0.75])).tolist() == [0, 2, 2, 0, -2]


def test_the_operators_of_the_file_compute_the_same() -> None:
    quantizer = Quantizer(TensorQuant(8, signed=False))
    quantizer.set_range(0.25, 128)
    x = torch.linspace(-50, 50, 999)
    zero = torch.tensor(128, dtype=torch.uint8)
    got = requantize(x, quantizer.scale, zero, 0, 255, "x")
    assert torch.equal(got, quantizer(x))
    assert torch.equal(dequantize(quantizer.codes(x).to(torch.uint8), quantizer.scale, zero), got)
    assert torch.equal(requantize(x, quantizer.scale, zero, 128, 148, "x"), quantizer(x.clamp(0, 5)))


def test_stored_codes_may_have_a_scale_for_each_channel() -> None:
    codes = torch.tensor([[-128, 127], [1, -1]], dtype=torch.int8)
    assert dequantize(codes, torch.tensor([0.5, 2.0])).tolist() == [[-64.0, 63.5], [2.0, -2.0]]


def test_the_scheme_of_powers_of_two() -> None:
    built = scheme.pow2().build()
    assert (built.weights.low, built.weights.high) == (-128, 127)
    assert (built.activations.low, built.activations.high) == (0, 255)
    assert (built.heads.low, built.heads.high) == (-(2**15), 2**15 - 1)
    assert scheme.pow2(head_bits=8).build().heads == built.activations
    assert scheme.pow2(weights="channel").build().weights.granularity == "channel"
    with pytest.raises(ValueError, match=r"scheme pow2.head_bits: .* 8 or 16, got 4"):
        scheme.pow2(head_bits=4)
