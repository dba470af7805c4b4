"""Quantized networks on disk: the same codes come back, anything else is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import xvision as xv
from tests.quant.patterns import PATTERNS, trained
from xvision.quant.methods import method
from xvision.quant.schemes import scheme
from xvision.quant.state import load, save


def quantized(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...], nn.Module]:
    model, planes = trained(name)
    return model, planes, xv.quantize(model, [planes], method=method.ptq(correct="nothing"))


@pytest.fixture
def saved(tmp_path: Path) -> tuple[nn.Module, Path]:
    model, _, q = quantized("conv_relu")
    return model, save(q, tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", PATTERNS)
def test_the_same_outputs_come_back(name: str, tmp_path: Path) -> None:
    model, planes, q = quantized(name)
    back = load(model, save(q, tmp_path / "deep/model.safetensors"))
    with torch.no_grad():
        wanted, got = q(*planes), back(*planes)
    assert all(torch.equal(got[key], wanted[key]) for key in wanted)
    assert not back.training
    assert not list(back.parameters())


def test_scales_for_each_channel_come_back_too(tmp_path: Path) -> None:
    model, planes = trained("grouped")
    q = xv.quantize(model, [planes], scheme=scheme.pow2(weights="channel", head_bits=8))
    back = load(model, save(q, tmp_path / "model.safetensors"))
    with torch.no_grad():
        assert torch.equal(back(*planes)["class"], q(*planes)["class"])


def test_files_hold_integers_and_are_saved_again_unchanged(saved: tuple[nn.Module, Path]) -> None:
    model, path = saved
    kinds = {key.rpartition(".")[2]: tensor.dtype for key, tensor in load_file(path).items()}
    assert (kinds["weight"], kinds["bias"]) == (torch.int8, torch.int32)
    before = path.read_bytes(), path.with_suffix(".json").read_bytes()
    save(load(model, path), path)
    assert (path.read_bytes(), path.with_suffix(".json").read_bytes()) == before


def test_the_manifest_is_readable(saved: tuple[nn.Module, Path]) -> None:
    manifest = json.loads(saved[1].with_suffix(".json").read_text())
    assert manifest["inputs"] == [[[8, 3, 24, 24], "uint8"]]
    assert manifest["scheme"]["tolerance_lsb"] == 0
    assert manifest["tensors"]["quantizers.pixels"] == "uint8, scale=0.015625, zero_point=128"
    assert 0 < manifest["accumulator_bounds"]["head"] < 2**24


def test_the_copy_to_read_is_not_needed(saved: tuple[nn.Module, Path]) -> None:
    model, path = saved
    path.with_suffix(".json").unlink()
    load(model, path)


def test_missing_files_are_named(saved: tuple[nn.Module, Path], tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"other\.safetensors: expected a quantized network, got no such file"
    ):
        load(saved[0], tmp_path / "other.safetensors")


def test_other_networks_are_refused(tmp_path: Path) -> None:
    """Of a float network, or of another format."""
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(
        ValueError,
        match=r"expected the manifest of a quantized network \(xvision-quantized-2\), got None; quantize",
    ):
        load(nn.ReLU(), path)


def test_damaged_tensors(saved: tuple[nn.Module, Path]) -> None:
    model, path = saved
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        ValueError, match=r"model\.safetensors: expected a safetensors file, it cannot be read"
    ):
        load(model, path)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            "grouped",
            r"model\.safetensors: expected the codes of Pattern, got those of another network \(.*size mismatch",
        ),
        ("add_relu", r"expected the codes of Pattern, got those of another network \(.*Missing key"),
        ("two_heads", r"TwoHeads: expected inputs that the network takes, it fails on 8x3x24x24"),
    ],
)
def test_networks_of_another_structure(saved: tuple[nn.Module, Path], other: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(trained(other)[0], saved[1])


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_what_cannot_be_written_is_named_and_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    _, _, q = quantized("conv_relu")
    (tmp_path / name).mkdir()
    with pytest.raises(OSError, match=rf"{name}: cannot be written \(Is a directory\)"):
        save(q, tmp_path / "model.safetensors")
    assert {f.name for f in tmp_path.iterdir()} <= {"model.safetensors", "model.json"}
    assert (tmp_path / name).is_dir()
