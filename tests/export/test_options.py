"""What a file may be asked to be: in an older opset, for a fixed number of images, of the float network."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

import xvision as xv
from tests.quant.patterns import trained
from xvision.quant.methods import method
from xvision.quant.schemes import scheme

PATTERNS = ("squeeze_excite", "shuffle", "avg_pool_3", "max_pool", "bilinear_4", "map_head", "transposed")


def quantized(name: str, head_bits: int = 8) -> tuple[nn.Module, tuple[Tensor, ...]]:
    model, planes = trained(name)
    numbers = scheme.pow2(head_bits=head_bits)
    return xv.quantize(model, [planes], scheme=numbers, method=method.ptq(rungs="mse")), planes


@pytest.mark.parametrize("opset", [17, 18])
@pytest.mark.parametrize("name", PATTERNS)
def test_older_opsets_hold_the_same_codes(name: str, opset: int, tmp_path: Path) -> None:
    q, planes = quantized(name)
    file = xv.export(q, tmp_path / "m.onnx", opset=opset)
    model = onnx.load(file)
    assert [one.version for one in model.opset_import if not one.domain] == [opset]
    assert model.ir_version <= 8
    assert xv.verify(q, file, [planes]).max_lsb == 0


def test_older_opsets_know_no_16_bits(tmp_path: Path) -> None:
    q, _ = quantized("conv_relu", head_bits=16)
    with pytest.raises(ValueError, match=r"export\.opset=18: expected tensors of 8 bits, 'head' has 16"):
        xv.export(q, tmp_path / "m.onnx", opset=18)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["shuffle", "map_head"])
def test_a_fixed_batch(name: str, tmp_path: Path) -> None:
    q, planes = quantized(name)
    file = xv.export(q, tmp_path / "m.onnx", batch=2)
    graph = onnx.load(file).graph
    for port in (*graph.input, *graph.output):
        dims = port.type.tensor_type.shape.dim
        assert dims[0].dim_value == 2
        assert all(dim.HasField("dim_value") for dim in dims)
    for images in (2, 3, 1):  # in groups of two, the last one filled
        parity = xv.verify(q, file, [tuple(plane[:images] for plane in planes)])
        assert parity.max_lsb == 0
        assert parity.images == images
    with pytest.raises(ValueError, match=r"expected tensor\(uint8\) of shape 2x3"):
        xv.verify(q, file, [tuple(plane[..., :-1] for plane in planes)])


def test_the_float_network(tmp_path: Path) -> None:
    model, planes = trained("map_head")
    file = xv.export(model, tmp_path / "m_float.onnx", inputs=planes)
    parity = xv.verify(model, file, [planes])
    assert parity.ok
    assert 0 < parity.max_error < 1e-3
    with torch.no_grad():
        assert model(*planes).keys() == {port.name for port in onnx.load(file).graph.output}
