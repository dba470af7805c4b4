"""ONNX files as callables: what they take and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import xvision as xv
from tests.quant.patterns import trained
from xvision.export.executors import executor
from xvision.export.executors.onnxruntime import OnnxRuntime, Port


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[nn.Module, tuple[Tensor, ...], Path]:
    """A float network of two planes and two heads."""
    model, planes = trained("two_heads")
    file = tmp_path_factory.mktemp("runtime") / "model.onnx"
    return model, planes, xv.export(model, file, inputs=planes, metadata={"task": "both"})


def test_planes_in_named_outputs_out(exported: tuple[nn.Module, tuple[Tensor, ...], Path]) -> None:
    model, planes, file = exported
    runtime = OnnxRuntime(file)
    assert runtime.input_ports == (
        Port("y", "tensor(uint8)", ("batch", 1, 24, 24)),
        Port("uv", "tensor(uint8)", ("batch", 12, 12, 2)),
    )
    assert [port.name for port in runtime.output_ports] == ["depth", "class"]
    assert runtime.metadata["task"] == "both"
    with torch.no_grad():
        torch.testing.assert_close(runtime(*planes), model(*planes), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("level", ["off", "basic", "all"])
def test_levels_agree_on_float_networks(
    exported: tuple[nn.Module, tuple[Tensor, ...], Path], level: str
) -> None:
    _, planes, file = exported
    got = OnnxRuntime(file, level=level)(*planes)  # type: ignore[arg-type]
    torch.testing.assert_close(got, OnnxRuntime(file)(*planes), rtol=1e-4, atol=1e-5)


Y, UV = torch.zeros(2, 1, 24, 24, dtype=torch.uint8), torch.zeros(2, 12, 12, 2, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("planes", "message"),
    [
        ((Y,), r"model\.onnx: expected 2 planes \(y, uv\), got 1"),
        (
            (Y, UV[..., :1]),
            r"input 'uv': expected tensor\(uint8\) of shape Nx12x12x2, got tensor\(uint8\) of shape 2x12x12x1; resize",
        ),
        (
            (Y[0], UV),
            r"input 'y': expected .* of shape Nx1x24x24, got .* of shape 1x24x24; resize or convert",
        ),
        (
            (Y.float(), UV),
            r"input 'y': expected tensor\(uint8\) of shape .*, got tensor\(float\) of shape 2x1x24x24",
        ),
    ],
)
def test_planes_that_do_not_fit(
    exported: tuple[nn.Module, tuple[Tensor, ...], Path], planes: tuple[Tensor, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        OnnxRuntime(exported[2])(*planes)


def test_unknown_levels() -> None:
    with pytest.raises(ValueError, match=r"executor onnxruntime.level: .*'off', 'basic' or 'all', got 'al'"):
        executor.onnxruntime(level="al")


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.onnx: no such file; export the network first"):
        OnnxRuntime(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"garbage")
    with pytest.raises(
        ValueError, match=r"bad\.onnx: expected an ONNX file, ONNX Runtime cannot load it \(.*\); export"
    ):
        OnnxRuntime(tmp_path / "bad.onnx")
