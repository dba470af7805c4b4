"""Verification finds what differs and refuses what cannot be compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import Tensor, nn

import xvision as xv
from tests.quant.patterns import trained
from xvision.export.runtime import OnnxModel

Export = tuple[nn.Module, tuple[Tensor, ...], Path]


def exported(name: str, folder: Path) -> Export:
    model, planes = trained(name)
    q = xv.quantize(model, [planes])
    return q, planes, xv.export(q, folder / f"{name}.onnx")


@pytest.fixture(scope="module")
def residual(tmp_path_factory: pytest.TempPathFactory) -> Export:
    return exported("add_relu", tmp_path_factory.mktemp("verify"))


@pytest.fixture(scope="module")
def two_heads(tmp_path_factory: pytest.TempPathFactory) -> Export:
    return exported("two_heads", tmp_path_factory.mktemp("verify"))


def lowered(codes: np.ndarray) -> np.ndarray:
    """Four codes nearer to zero."""
    codes = codes.copy()
    codes.flat[:4] -= np.sign(codes.flat[:4]) * np.array(20, codes.dtype)
    return codes


def tampered(file: Path, name: str, copy: Path, change: Callable[[np.ndarray], np.ndarray] = lowered) -> Path:
    """A copy of the file with one initializer changed."""
    model = onnx.load(file)
    (tensor,) = [t for t in model.graph.initializer if t.name == name]
    tensor.CopyFrom(numpy_helper.from_array(change(numpy_helper.to_array(tensor)), name))
    onnx.save(model, copy)
    return copy


@pytest.mark.parametrize(
    ("weight", "first"),
    [
        ("stem.0.weight", "relu"),
        ("body.0.branch.0.weight", "body_0_branch_0"),
        ("body.1.branch.0.bias", "body_1_branch_0"),
        ("head.weight", "head"),
    ],
)
def test_a_changed_weight_is_found_where_it_is(
    residual: Export, weight: str, first: str, tmp_path: Path
) -> None:
    q, planes, file = residual
    parity = xv.verify(q, tampered(file, weight, tmp_path / "changed.onnx"), [planes])
    assert not parity.ok
    assert parity.first_difference == first
    assert parity.max_lsb == max(level.max_lsb for level in parity.levels.values()) > 0
    assert all(level.max_lsb > 0 for level in parity.levels.values())


def test_both_heads_are_compared(two_heads: Export, tmp_path: Path) -> None:
    q, planes, file = two_heads
    for weight, first in (("map.weight", "map_1"), ("linear.weight", "linear")):
        parity = xv.verify(q, tampered(file, weight, tmp_path / "changed.onnx"), [planes])
        assert parity.first_difference == first
        assert parity.levels["all"].max_lsb > 0


def test_other_answers_are_counted(residual: Export, tmp_path: Path) -> None:
    q, planes, file = residual
    parity = xv.verify(
        q, tampered(file, "head.weight", tmp_path / "changed.onnx", np.negative), [planes, planes]
    )
    with torch.no_grad():
        wanted, got = (
            q(*planes)["class"].argmax(1),
            OnnxModel(tmp_path / "changed.onnx")(*planes)["class"].argmax(1),
        )
    assert parity.agreement == float((wanted == got).double().mean()) < 1


def test_what_was_found_as_plain_values(two_heads: Export) -> None:
    q, planes, file = two_heads
    found = xv.verify(q, file, [planes, tuple(plane[:3] for plane in planes)]).to_dict()
    levels = found.pop("levels")
    assert found == {"ok": True, "max_lsb": 0, "agreement": 1.0, "first_difference": None, "images": 11}
    assert levels == {
        "off": {"max_lsb": 0, "agreement": 1.0, "tensors": 7},
        "basic": {"max_lsb": 0, "agreement": 1.0, "tensors": 2},
        "all": {"max_lsb": 0, "agreement": 1.0, "tensors": 2},
    }


def test_a_batch_may_be_one_tensor(residual: Export) -> None:
    q, (image,), file = residual
    assert xv.verify(q, file, [image]).ok


def test_float_networks_are_refused(residual: Export) -> None:
    with pytest.raises(
        ValueError, match=r"expected a quantized network to compare with, got a float one; quantize"
    ):
        xv.verify(trained("add_relu")[0], residual[2], [])


def test_files_of_other_networks_are_refused(residual: Export, two_heads: Export, tmp_path: Path) -> None:
    q, planes, file = residual
    model, _ = trained("add_relu")
    other = xv.export(model, tmp_path / "float.onnx", inputs=planes)
    with pytest.raises(
        ValueError, match=r"float\.onnx: expected the export of this network, it has no integer tensors"
    ):
        xv.verify(q, other, [planes])
    with pytest.raises(
        ValueError, match=r"two_heads\.onnx: .* its inputs are y, uv and not image; export again"
    ):
        xv.verify(q, two_heads[2], [planes])
    small = xv.quantize(trained("conv_relu")[0], [planes])
    with pytest.raises(
        ValueError, match=r"add_relu\.onnx: .* it has an unknown tensor 'body_0_branch_0'; export again"
    ):
        xv.verify(small, file, [planes])


def test_tensors_and_outputs_of_other_names_or_shapes_are_refused(residual: Export, tmp_path: Path) -> None:
    q, planes, file = residual
    renamed = onnx.load(file)
    renamed.graph.output[0].name = renamed.graph.node[-1].output[0] = "score"
    onnx.save(renamed, tmp_path / "renamed.onnx")
    with pytest.raises(
        ValueError, match=r"renamed\.onnx: .* its outputs are score and not class; export again"
    ):
        xv.verify(q, tmp_path / "renamed.onnx", [planes])
    model, _ = trained("add_relu")
    model.head = nn.Linear(16, 7)
    with pytest.raises(
        ValueError, match=r"add_relu\.onnx: .* tensor 'head' is 8x10 and not 8x7; export again"
    ):
        xv.verify(xv.quantize(model, [planes]), file, [planes])


def test_images_of_another_size_are_refused(residual: Export) -> None:
    q, _, file = residual
    with pytest.raises(ValueError, match=r"input 'image': expected .* Nx3x24x24, got .* 2x3x32x32; resize"):
        xv.verify(q, file, [torch.zeros(2, 3, 32, 32, dtype=torch.uint8)])


def test_no_batch_proves_nothing(residual: Export) -> None:
    q, _, file = residual
    with pytest.raises(
        ValueError, match=r"add_relu\.onnx: expected at least one batch to compare on, got none"
    ):
        xv.verify(q, file, [])
