"""Quantized networks on disk: the same codes come back, anything else is refused."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import xvision as xv
from tests.quant.patterns import PATTERNS, trained
from xvision.quant.methods import method
from xvision.quant.schemes import scheme
from xvision.quant.state import load, save
from xvision.train.checkpoint import read_tensors, write_tensors


def quantized(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...], nn.Module]:
    model, planes = trained(name)
    return model, planes, xv.quantize(model, [planes], method=method.ptq(rungs="mse"))


@pytest.fixture
def saved(tmp_path: Path) -> tuple[nn.Module, Path]:
    model, _, q = quantized("conv_relu")
    return model, save(q, tmp_path / "model.safetensors")


@pytest.mark.parametrize("name", PATTERNS)
def test_the_same_outputs_come_back(name: str, tmp_path: Path) -> None:
    _, planes, q = quantized(name)
    back = load(save(q, tmp_path / "deep/model.safetensors"))
    with torch.no_grad():
        wanted, got = q(*planes), back(*planes)
    assert all(torch.equal(got[key], wanted[key]) for key in wanted)
    assert not back.training
    assert not list(back.parameters())


def test_scales_for_each_channel_come_back_too(tmp_path: Path) -> None:
    model, planes = trained("grouped")
    q = xv.quantize(model, [planes], scheme=scheme.pow2(weights="channel", head_bits=8))
    back = load(save(q, tmp_path / "model.safetensors"))
    with torch.no_grad():
        assert torch.equal(back(*planes)["class"], q(*planes)["class"])


def test_files_hold_integers_and_are_saved_again_unchanged(saved: tuple[nn.Module, Path]) -> None:
    _, path = saved
    kinds = {key.rpartition(".")[2]: tensor.dtype for key, tensor in load_file(path).items()}
    assert (kinds["weight"], kinds["bias"]) == (torch.int8, torch.int32)
    before = path.read_bytes(), path.with_suffix(".json").read_bytes()
    save(load(path), path)
    assert (path.read_bytes(), path.with_suffix(".json").read_bytes()) == before


def test_the_manifest_is_readable(saved: tuple[nn.Module, Path]) -> None:
    manifest = json.loads(saved[1].with_suffix(".json").read_text())
    assert manifest["inputs"] == [[[8, 3, 24, 24], "uint8"]]
    assert manifest["scheme"]["tolerance_lsb"] == 0
    assert manifest["tensors"]["quantizers.pixels"] == "uint8, scale=0.015625, zero_point=128"
    assert 0 < manifest["accumulator_bounds"]["head"] < 2**24


def test_the_copy_to_read_is_not_needed(saved: tuple[nn.Module, Path]) -> None:
    _, path = saved
    path.with_suffix(".json").unlink()
    load(path)


def test_missing_files_are_named(saved: tuple[nn.Module, Path], tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"other\.safetensors: expected a quantized network, got no such file"
    ):
        load(tmp_path / "other.safetensors")


def test_other_networks_are_refused(tmp_path: Path) -> None:
    """Of a float network, or of another format."""
    path = tmp_path / "model.safetensors"
    save_file({"weight": torch.zeros(1)}, path)
    with pytest.raises(
        ValueError,
        match=r"expected the manifest of a quantized network \(xvision-quantized-6\), got None; quantize",
    ):
        load(path)


def test_damaged_tensors(saved: tuple[nn.Module, Path]) -> None:
    _, path = saved
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        ValueError, match=r"model\.safetensors: expected a safetensors file, it cannot be read"
    ):
        load(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda manifest: manifest["graph"].pop(2),
        lambda manifest: manifest["graph"][3].update(target="aten.nothing.default"),
        lambda manifest: manifest["modules"].pop("head"),
        lambda manifest: manifest["modules"]["head"].update(source="head"),
        lambda manifest: manifest.pop("graph"),
    ],
)
def test_damaged_manifests(saved: tuple[nn.Module, Path], damage: Callable[[Any], None]) -> None:
    _, path = saved
    tensors, manifest = read_tensors(path)
    damage(manifest)
    write_tensors(path, tensors, manifest)
    with pytest.raises(
        ValueError, match=r"model\.safetensors: expected a whole quantized network, it is damaged"
    ):
        load(path)


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pickled_network_is_the_same(name: str, tmp_path: Path) -> None:
    _, planes, q = quantized(name)
    file = xv.export(q, tmp_path / "model.onnx") if name == "add_relu" else None
    again = pickle.loads(pickle.dumps(copy.deepcopy(q)))
    with torch.no_grad():
        wanted, got = q(*planes), again(*planes)
    assert all(torch.equal(got[key], wanted[key]) for key in wanted)
    if file is not None:
        assert xv.verify(again, file, [planes]).max_lsb == 0


@pytest.mark.parametrize("name", ["model.safetensors", "model.json"])
def test_what_cannot_be_written_is_named_and_leaves_nothing_behind(name: str, tmp_path: Path) -> None:
    _, _, q = quantized("conv_relu")
    (tmp_path / name).mkdir()
    with pytest.raises(OSError, match=rf"{name}: cannot be written \(Is a directory\)"):
        save(q, tmp_path / "model.safetensors")
    assert {f.name for f in tmp_path.iterdir()} <= {"model.safetensors", "model.json"}
    assert (tmp_path / name).is_dir()
