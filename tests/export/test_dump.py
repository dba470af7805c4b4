"""The dump of a network's integers: complete, and enough to compute a layer with nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import xvision as xv
from tests.quant.patterns import trained
from xvision.export.dump import dump
from xvision.export.executors import executor
from xvision.files import read_json

Index = dict[str, Any]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Index]:
    """Of a network with a stem, a residual block, an average pool and a linear head."""
    folder = tmp_path_factory.mktemp("dump")
    model, planes = trained("add_relu")
    q = xv.quantize(model, [planes])
    file = executor.onnxruntime().build(xv.export(q, folder / "model.onnx"))
    executors = [executor.simulation().build(q), executor.integer().build(q), file]
    return folder, read_json(dump(q, executors, tuple(plane[:2] for plane in planes), folder))


def test_every_tensor_of_every_executor_is_there_and_equal(written: tuple[Path, Index]) -> None:
    folder, index = written
    assert (index["images"], index["scheme"]) == (2, "pow2")
    assert [one["name"] for one in index["inputs"]] == ["image"]
    for tensor in index["tensors"]:
        arrays = [np.load(folder / file) for file in tensor["files"].values()]
        assert len(arrays) == 2 + (tensor["name"] != "pixels"), "the input is the pixels' codes already"
        assert all(np.array_equal(array, arrays[0]) for array in arrays)
        assert list(arrays[0].shape) == tensor["shape"]
        assert arrays[0].dtype.itemsize * 8 == tensor["bits"]
        assert (arrays[0].dtype.kind == "i") == tensor["signed"]


def test_a_layer_can_be_computed_from_the_files_alone(written: tuple[Path, Index]) -> None:
    """The head: sums of codes without their zero point, then a shift, rounded half to even, saturated."""
    folder, index = written
    tensors = {one["name"]: one for one in index["tensors"]}
    head = tensors["head"]
    (layer,) = [one for one in index["layers"] if one["name"] == "head"]
    (source,) = [tensors[name] for name in head["reads"]]
    x, weight, bias = (
        np.load(folder / file).astype(np.int64)
        for file in (source["files"]["integer"], layer["weight"]["file"], layer["bias"]["file"])
    )
    sums = (x - source["zero_point"]) @ weight.T + bias
    assert layer["bias"]["scale"] == source["scale"] * layer["weight"]["scale"]
    steps = np.rint(sums * (layer["bias"]["scale"] / head["scale"]))
    low = -(2 ** (head["bits"] - 1))
    codes = np.clip(steps + head["zero_point"], low, -low - 1)
    assert np.array_equal(codes, np.load(folder / head["files"]["integer"]))
    assert index["outputs"] == [{"name": "class", "tensor": "head"}]


def test_the_order_and_what_is_read_draw_the_network(written: tuple[Path, Index]) -> None:
    _, index = written
    seen = {one["name"] for one in index["inputs"]}
    for tensor in index["tensors"]:
        assert seen.issuperset(tensor["reads"])
        seen.add(tensor["name"])
    sums = [one for one in index["tensors"] if len(one["reads"]) == 2]
    assert len(sums) == 2, "a branch and its shortcut, twice"


def test_an_earlier_dump_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for name in ("two_heads", "add_relu"):
        model, planes = trained(name)
        q = xv.quantize(model, [planes])
        index = read_json(dump(q, [executor.integer().build(q)], planes, tmp_path))
    named = {file for one in index["tensors"] for file in one["files"].values()}
    named |= {one[key]["file"] for one in index["layers"] for key in ("weight", "bias")}
    named |= {one["file"] for one in index["inputs"]}
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.npy")} == named
    assert (tmp_path / "notes.txt").read_text() == "mine"
